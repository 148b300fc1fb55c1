# Growth, writing back, and the exclusive lease.

test("growth: vectors and others see it") do name
    A = create(SegmentArray{Int}, name, (3,); reserve_max = 1 << 20)
    A .= 1:3
    V = view(A, 2:3)
    B = attach(SegmentArray, name)
    C = grow(A, 1000)
    @test size(A) == (3,) && length(C) >= 1000 && C[1:3] == 1:3 && all(iszero, C[4:end])
    C[1] = -1
    C[1000] = 7
    @test A[1] == -1 && V == [2, 3]
    @test size(B) == (3,) && refresh(B)[1000] == 7 && size(refresh(B)) == size(C)
    @test size(grow(B, 5)) == size(C)
    told = in_process("A = attach(SegmentArray, \"$name\"); A = grow(A, 2000); A[2000] = 5; print(length(A) >= 2000)")
    @test told == "true" && refresh(C)[2000] == 5
    @test status(() -> grow(A, 1 << 30)) === :limit_exceeded
    @test status(() -> grow(A, -1)) === :invalid_argument
    close(A)
    @test status(() -> C[1]) === :invalid_handle && status(() -> grow(C, 3000)) === :invalid_handle
    @test status(() -> grow(create(SegmentArray{Int}, nothing, (3,)), 4)) === :limit_exceeded
    @test_throws ArgumentError grow(create(SegmentArray{Int}, nothing, ()), 4)
end

test("growth: matrices along their last dimension") do name
    A = create(SegmentArray{Float32}, name, (3, 2); order = :C, reserve_max = 1 << 20)
    A .= reshape(1:6, 3, 2)
    B = grow(A, 5)
    @test size(B, 1) == 3 && size(B, 2) >= 5 && B[:, 1:2] == reshape(1:6, 3, 2) && all(iszero, B[:, 3:end])
    P = attach(SegmentArray, name)
    @test size(P) == size(B)
    Q = attach(SegmentArray, name; permute = true)
    R = grow(Q, size(Q, 1) + 1)
    @test size(R, 1) > size(Q, 1) && size(R, 2) == 3 && R[1:2, :] == permutedims(reshape(1:6, 3, 2)) && size(refresh(Q)) == size(R)
    @test status(() -> grow(create(SegmentArray{Float32}, nothing, (3, 2); reserve_max = 1 << 20), 5)) === :limit_exceeded
    empty = create(SegmentArray{UInt8}, nothing, (0,); reserve_max = 1 << 16)
    @test length(grow(empty, 10)) >= 10
end

test("growth: written back") do _
    folder = mktempdir()
    A = create(SegmentArray{Int}, "file://$folder/array", (3,))
    A .= 5
    @test SharedSegments.sync(A) === nothing && SharedSegments.sync(A; wait = false) === nothing
    close(A)
    @test status(() -> SharedSegments.sync(A)) === :invalid_handle
    B = attach(SegmentArray, "file://$folder/array")
    @test B == [5, 5, 5] && SharedSegments.sync(create(SegmentArray{Int}, nothing, (3,))) === nothing
    close(B)
end

test("growth: alone with an array") do name
    A = create(SegmentArray{Int}, name, (3,))
    lease = exclusive(A)
    @test isopen(lease) && occursin(name, sprint(show, lease))
    there = "try attach(SegmentArray, \"$name\"); print(\"attached\") catch problem print(problem.status) end"
    @test in_process(there) == "busy"
    @test close(lease) === nothing && !isopen(lease) && close(lease) === nothing
    @test in_process(there) == "attached"
    @test exclusive(() -> in_process(there), A) == "busy"
    @test in_process(there) == "attached"
    B = attach(SegmentArray, name)
    @test status(() -> exclusive(A)) === :busy
    close(B)
    @test exclusive(() -> sum(A), A) == 0
    close(A)
    @test status(() -> exclusive(A)) === :invalid_handle
end
