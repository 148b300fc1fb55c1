# Index order: what others see of Julia's arrays, and how theirs appear here.

"Shape and strides in elements as the segment has them."
function as_others_see(array)
    info = Ref{SharedSegments.ArrayInfo}()
    GC.@preserve info begin
        place = Base.unsafe_convert(Ptr{SharedSegments.ArrayInfo}, info)
        unsafe_store!(Ptr{UInt64}(place), sizeof(SharedSegments.ArrayInfo))
        SharedSegments.check(ccall((:shm_array_info, SharedSegments.SONAME), Int32, (SharedSegments.Id, Ptr{Cvoid}),
                                   SharedSegments.Id(array.attachment.id), place))
    end
    n = info[].ndim
    return info[].shape[1:n], info[].strides[1:n] .÷ Int64(info[].item_size)
end

test("orders: what others see") do _
    A = create(SegmentArray{Int32}, nothing, (2, 3, 4))
    @test as_others_see(A) == ((2, 3, 4), (1, 2, 6))
    B = create(SegmentArray{Int32}, nothing, (2, 3, 4); order = :C)
    @test as_others_see(B) == ((4, 3, 2), (6, 2, 1))
    @test size(B) == (2, 3, 4) && strides(B) == (1, 2, 6)
end

test("orders: arrays in C order come reversed, or permuted on wish") do name
    A = create(SegmentArray{Int}, name, (4, 3); order = :C)
    A .= reshape(1:12, 4, 3)
    R = attach(SegmentArray, name)
    @test R isa SegmentArray{Int, 2} && size(R) == (4, 3) && R == A
    P = attach(SegmentArray, name; permute = true)
    @test P isa PermutedDimsArray && size(P) == (3, 4) && P == permutedims(A)
    P[3, 1] = -1
    @test A[1, 3] == -1
    close(P)
    @test status(() -> P[1, 1]) === :invalid_handle
end

test("orders: arrays in Fortran order come as they are") do name
    A = create(SegmentArray{Int}, name, (4, 3))
    for permute in (false, true)
        B = attach(SegmentArray, name; permute = permute)
        @test B isa SegmentArray{Int, 2} && size(B) == (4, 3)
    end
end

test("orders: they do not depend on the sizes") do _
    for dims in ((1, 5), (5, 1), (1, 1), (1, 5, 1), (2, 1, 3), (0, 5), (5, 0), (0, 0), (2, 0, 3), (3,), ()), order in (:C, :F)
        name = unique_name()
        create(SegmentArray{Float32}, name, dims; order = order)
        @test attach(size, SegmentArray, name) == dims
        permuted = attach(SegmentArray, name; permute = true)
        @test size(permuted) == (order === :C ? reverse(dims) : dims)
        close(permuted)
        delete(name)
    end
end

test("orders: strides of any kind") do name
    A = create(SegmentArray{Int16}, name, (24,))
    A .= 1:24
    # Every second element of rows of six, the rows backwards: as somebody else may have made it.
    S = SharedSegments.StridedSegmentArray{Int16}(A.attachment, Ptr{Cvoid}(pointer(A) + 2 * 18), (4, 3), (-12, 4))
    expected = [18 - 6i + 2j + 1 for i in 0:3, j in 0:2]
    @test S == expected && sum(S) == sum(expected) && S[2, :] == expected[2, :]
    S[4, 3] = -5
    @test A[5] == -5
    @test_throws BoundsError S[5, 1]
    @test_throws BoundsError S[1, 4]
    close(S)
    @test status(() -> S[1, 1]) === :invalid_handle
    @test SharedSegments.order_of((4, 3), (-12, 4), 2, 0x4) === :neither
end
