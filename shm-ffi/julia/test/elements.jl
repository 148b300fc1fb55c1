# Element types: all that Julia has, and clear words about the others.

const SAMPLES = [
    Bool => true, Int8 => -7, Int16 => -300, Int32 => -70_000, Int64 => typemin(Int64), UInt8 => 0xff, UInt16 => 0xffff, UInt32 => 0xffffffff,
    UInt64 => typemax(UInt64), Float16 => 1.5, Float32 => -0.1f0, Float64 => pi, ComplexF32 => 1 - 2im, ComplexF64 => 3 + 4im,
    FixedBytes{5} => "naïv", NTuple{3, UInt8} => (0x01, 0x00, 0xff),
]

for (type, sample) in SAMPLES
    test("elements: $type") do name
        A = create(SegmentArray{type}, name, (2, 3))
        A[2, 1] = sample
        B = attach(SegmentArray, name)
        @test eltype(B) === type
        @test B[2, 1] === convert(type, sample)
        @test attach(SegmentArray{type, 2}, name)[2] === convert(type, sample)
        @test Array(B) isa Matrix{type}
    end
end

test("elements: every byte but 0 is true") do name
    A = create(SegmentArray{Bool}, name, (4,))
    GC.@preserve A for (place, byte) in enumerate((0x00, 0x01, 0x02, 0xff))
        unsafe_store!(Ptr{UInt8}(pointer(A)), byte, place)
    end
    @test A == [false, true, true, true] && count(A) == 3
    A[4] = 0
    @test A[4] === false
    @test_throws InexactError A[4] = 2
    A .= [true, false, true, false]
    @test findall(A) == [1, 3]
end

test("elements: fixed bytes") do name
    A = create(SegmentArray{FixedBytes{8}}, name, (2,))
    @test String(A[1]) == ""
    A[1] = "node 3"
    @test String(A[1]) == "node 3" && A[1] == FixedBytes{8}("node 3")
    @test repr(A[1]) == "FixedBytes{8}(\"node 3\")"
    @test_throws ArgumentError A[2] = "nine bytes"
    @test_throws ArgumentError create(SegmentArray{FixedBytes{0}}, unique_name(), (2,))
end

test("elements: what Julia lacks is named") do _
    using_code(code, bits; count = 0) = failure(() -> SharedSegments.julia_type(SharedSegments.DType(code, bits, count)))
    for (code, bits, word) in ((4, 16, "bfloat16"), (161, 32, "text"), (163, 64, "points in time"), (168, 8, "records"), (130, 64, "big-endian floats"),
                               (99, 8, "code 99"), (160, 8, "code 160"))
        problem = using_code(code, bits)
        @test problem.status === :type_mismatch && occursin(word, problem.text)
    end
end
