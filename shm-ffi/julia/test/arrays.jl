# Arrays: made, attached, used as arrays, closed.

using LinearAlgebra

test("array: everybody sees the same elements") do name
    A = create(SegmentArray{Float64}, name, (3, 4))
    @test A isa DenseArray{Float64, 2} && size(A) == (3, 4) && all(iszero, A)
    A .= reshape(1:12, 3, 4)
    B = attach(SegmentArray, name)
    @test B isa SegmentArray{Float64, 2} && B == reshape(1:12, 3, 4)
    B[2, 3] = -1
    @test A[2, 3] == -1 && A[8] == -1
    @test parse(Float64, in_process("A = attach(SegmentArray{Float64, 2}, \"$name\"); print(sum(A)); A[1] = 100")) == sum(A) - 99
    @test A[1, 1] == 100
    close(A)
    @test B[1, 1] == 100
    close(B)
end

test("array: it is used as an Array is") do name
    A = create(SegmentArray{Float64}, name, 4, 4)
    copyto!(A, rand(4, 4))
    plain = Array(A)
    @test plain isa Matrix{Float64} && plain == A
    @test A * A' ≈ plain * plain' && A \ plain ≈ I
    @test A[2:3, :] == plain[2:3, :] && view(A, :, 2) == plain[:, 2] && vec(A) == vec(plain)
    @test strides(A) == (1, 4) && stride(A, 2) == 4 && Base.elsize(A) == 8
    @test unsafe_load(pointer(A), 6) == plain[6] == unsafe_load(pointer(A, 6))
    @test sum(A; dims = 1) == sum(plain; dims = 1) && maximum(A) == maximum(plain)
    @test similar(A) isa Matrix{Float64} && map(sqrt, A) isa Matrix{Float64} && copy(A) isa Matrix{Float64}
    A .+= 1
    sort!(vec(A))
    @test A == reshape(sort(vec(plain .+ 1)), 4, 4)
    @test_throws BoundsError A[17]
    @test_throws BoundsError A[5, 1] = 0
    @test occursin("4×4 SegmentArray{Float64,2", replace(sprint(show, MIME("text/plain"), A), ", " => ","))
    close(A)
end

test("array: without a name it is this process's alone") do _
    A = create(SegmentArray{Int32}, nothing, (1000,))
    A .= 1:1000
    @test sum(A) == 500500
    close(A)
end

test("array: dimensions of zero and no dimensions") do _
    @test size(create(SegmentArray{Int}, nothing, (0, 3))) == (0, 3)
    @test sum(create(SegmentArray{Int}, nothing, (3, 0); order = :C)) == 0
    A = create(SegmentArray{Float32}, nothing, ())
    A[] = 7
    @test A[] === 7.0f0 && size(A) == ()
end

test("array: use after close is an error") do name
    A = create(SegmentArray{Float64}, name, (3, 4))
    V, R, P = view(A, 1:2, :), reshape(A, 12), PermutedDimsArray(A, (2, 1))
    @test isopen(A)
    close(A)
    @test !isopen(A)
    for use in (() -> A[1], () -> A[1] = 1.0, () -> A[1, 1], () -> size(A), () -> sum(A), () -> A .+ 1, () -> fill!(A, 0), () -> pointer(A),
                () -> copy(A), () -> V[1], () -> sum(V), () -> R[1] = 1, () -> P[1, 1], () -> similar(A), () -> Array(A), () -> A * A')
        problem = failure(use)
        @test problem.status === :invalid_handle
        @test occursin("is closed", problem.text)
    end
    @test close(A) === nothing
end

# A view knows its size by itself, and Julia leaves out the checks of what lies below one: a use that got through would be the end of the process.
test("array: views, reshapes and other faces are closed with it") do name
    faces = (A -> view(A, 1, :), A -> view(A, :, :), A -> view(A, 2, 2), A -> view(A, 2:4), A -> view(A, [1, 2], :), A -> view(view(A, :, 1:2), 1, :),
             A -> first(eachcol(A)), A -> reshape(A, 6), A -> reshape(view(A, 1:1, :), 3), A -> view(reshape(A, 6), 2:4), A -> vec(A), A -> A', transpose,
             A -> view(A', :, 1), A -> PermutedDimsArray(view(A, :, :), (2, 1)), A -> view(PermutedDimsArray(A, (2, 1)), :, 1),
             A -> reinterpret(Int, view(A, :, 1)), A -> view(reinterpret(Int, reshape(view(A, :, :), 6)), :))
    uses = (w -> w[1], w -> w[1] = 0, w -> w[end], sum, maximum, w -> w .+ 1, w -> w .= 0, w -> fill!(w, 0), copy, collect, w -> (for x in w; x > 5 && return x; end),
            w -> copyto!(zeros(eltype(w), size(w)...), w), repr, w -> 2w, w -> w == w)
    for face in faces, use in uses
        A = create(SegmentArray{Float64}, nothing, (2, 3))
        A .= 1
        w = face(A)
        use(w)
        close(A)
        problem = failure(() -> use(w))
        @test problem.status === :invalid_handle && occursin("is closed", problem.text)
    end
end

test("array: forgotten ones are closed by the collector") do name
    open_files() = count(fd -> occursin(name, try readlink("/proc/self/fd/$fd") catch; "" end), readdir("/proc/self/fd"))
    @noinline forget() = (A = create(SegmentArray{Int8}, name, (100_000,)); A[1] = 1; nothing)
    @noinline part() = reshape(attach(SegmentArray, name), 100, 1000)
    forget()
    GC.gc()
    @test open_files() == 0
    # In a box: a variable might live on in a register.
    box = Ref{Any}(part())
    GC.gc()
    @test open_files() == 1 && box[][1] == 1
    box[] = nothing
    GC.gc()
    @test open_files() == 0
end

test("array: a block closes it") do name
    left = Ref{Any}()
    @test create(SegmentArray{Int}, name, (5,)) do A
        left[] = A
        A .= 2
        sum(A)
    end == 10
    @test !isopen(left[])
    @test_throws ErrorException attach(SegmentArray, name) do A
        left[] = A
        error("in the middle")
    end
    @test !isopen(left[])
    @test attach(sum, SegmentArray{Int, 1}, name) == 10
end

test("array: read-only and private attachments") do name
    A = create(SegmentArray{Int}, name, (3,))
    A .= 5
    R = attach(SegmentArray, name; access = :read_only)
    @test R == [5, 5, 5]
    @test status(() -> R[1] = 1) === :read_only
    @test status(() -> copyto!(R, [1, 2, 3])) === :read_only
    P = attach(SegmentArray, name; access = :copy_on_write)
    P[1] = 9
    @test P == [9, 5, 5] && A == [5, 5, 5]
end

test("array: what cannot be is refused, and nothing is made") do name
    @test_throws ArgumentError create(SegmentArray, name, (3,))
    @test_throws ArgumentError create(SegmentArray{String}, name, (3,))
    @test_throws ArgumentError create(SegmentArray{Int128}, name, (3,))
    @test_throws ArgumentError create(SegmentArray{Rational{Int}}, name, (3,))
    @test_throws ArgumentError create(SegmentArray{Int, 2}, name, (3,))
    @test_throws ArgumentError create(SegmentArray{Int}, name, (3,); order = :Julia)
    @test_throws ArgumentError create(SegmentArray{Int}, name, (3,); lifetime = :long)
    @test_throws ArgumentError create(SegmentArray{Int}, "with\0zero", (3,))
    @test status(() -> create(SegmentArray{Int}, name, (-3,))) === :invalid_argument
    @test status(() -> create(SegmentArray{Int}, name, (typemax(Int), 8))) === :size_overflow
    @test status(() -> create(SegmentArray{Int}, "a/b", (3,))) === :invalid_name
    @test !ispath("/dev/shm/$name")
    @test status(() -> attach(SegmentArray, name)) === :not_found
    create(SegmentArray{Int}, name, (3,))
    problem = failure(() -> create(SegmentArray{Int}, name, (3,)))
    @test problem.status === :already_exists && problem.code == 10 && occursin(name, problem.text)
    @test occursin(problem.text, sprint(showerror, problem))
    @test status(() -> attach(SegmentArray{Float64}, name)) === :type_mismatch
    @test status(() -> attach(SegmentArray{Int, 2}, name)) === :shape_mismatch
    @test attach(SegmentArray{Int, 1}, name) == [0, 0, 0]
end

test("array: other files are not taken for one") do name
    write("/dev/shm/$name", "no segment")
    @test status(() -> attach(SegmentArray, name)) === :not_a_segment
    @test read("/dev/shm/$name", String) == "no segment"
end

test("array: in a file") do _
    path = joinpath(mktempdir(), "array")
    create(SegmentArray{Int16}, "file://$path", (10, 10)) do A
        A .= 3
    end
    @test attach(sum, SegmentArray, "file://$path") == 300
end

test("array: tasks of several threads") do name
    told = in_process("""
        A = create(SegmentArray{Int}, "$name", (1000, 1000))
        Threads.@threads for column in 1:1000
            for row in 1:1000
                A[row, column] = row * column
            end
            rand(1000)
        end
        print(Threads.nthreads(), " ", sum(A) == sum(1:1000)^2)
        """; threads = 2)
    @test told == "2 true"
end
