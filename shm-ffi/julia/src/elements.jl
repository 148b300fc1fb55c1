# Element types: what the format's numbers are in Julia, and the other way round.

"`shm_dtype_t`."
struct DType
    code::UInt8
    bits::UInt8
    lanes::UInt16
    count::UInt32
    unit::UInt32
    record_length::UInt32
    record::Ptr{UInt8}
end

DType(code, bits, count = 0) = DType(code, bits, 1, count, 0, 0, C_NULL)

"""
    FixedBytes{K}

Text of at most `K` bytes, padded with zero bytes: NumPy's `S` type. `FixedBytes{8}("node 3")` makes one, `String(x)` reads it. Bytes without a meaning
(NumPy's `V`) are `NTuple{K, UInt8}`.
"""
struct FixedBytes{K}
    bytes::NTuple{K, UInt8}
end

function FixedBytes{K}(text::AbstractString) where {K}
    bytes = codeunits(String(text))
    length(bytes) <= K || throw(ArgumentError("\"$text\" has $(length(bytes)) bytes, and FixedBytes{$K} holds $K"))
    return FixedBytes{K}(ntuple(place -> place <= length(bytes) ? bytes[place] : 0x00, K))
end

function Base.String(text::FixedBytes)
    last = findlast(!iszero, text.bytes)
    return last === nothing ? "" : String(collect(text.bytes[1:last]))
end

Base.convert(::Type{FixedBytes{K}}, text::AbstractString) where {K} = FixedBytes{K}(text)
Base.zero(::Type{FixedBytes{K}}) where {K} = FixedBytes{K}("")
Base.show(io::IO, text::FixedBytes{K}) where {K} = print(io, "FixedBytes{", K, "}(", repr(String(text)), ")")

const NUMBERS = Dict{DataType, Tuple{UInt8, UInt8}}(
    Int8 => (0, 8), Int16 => (0, 16), Int32 => (0, 32), Int64 => (0, 64),
    UInt8 => (1, 8), UInt16 => (1, 16), UInt32 => (1, 32), UInt64 => (1, 64),
    Float16 => (2, 16), Float32 => (2, 32), Float64 => (2, 64),
    ComplexF32 => (5, 64), ComplexF64 => (5, 128), Bool => (6, 8),
)
const TYPES = Dict(number => type for (type, number) in NUMBERS)
const BYTES, OPAQUE = 0xa0, 0xa7

"The format's number for an element type of Julia."
function dtype(::Type{T}) where {T}
    haskey(NUMBERS, T) && return DType(NUMBERS[T]...)
    throw(ArgumentError("$T cannot be the element of a shared array; there are Bool, Int8 to Int64, UInt8 to UInt64, " *
                        "Float16 to Float64, ComplexF32, ComplexF64, FixedBytes{K} and NTuple{K, UInt8}"))
end
dtype(::Type{FixedBytes{K}}) where {K} = DType(BYTES, 8, some(K))
dtype(::Type{NTuple{K, UInt8}}) where {K} = DType(OPAQUE, 8, some(K))

some(count) = count > 0 ? count : throw(ArgumentError("elements without bytes cannot be the elements of a Julia array"))

"What other codes are called, for the error."
const FOREIGN = Dict{UInt8, String}(
    4 => "bfloat16", 128 => "big-endian integers", 129 => "big-endian unsigned integers", 130 => "big-endian floats",
    132 => "big-endian bfloat16", 133 => "big-endian complex numbers", 161 => "text", 162 => "big-endian text",
    163 => "points in time", 164 => "big-endian points in time", 165 => "spans of time", 166 => "big-endian spans of time",
    168 => "records", 169 => "x87 long doubles", 170 => "complex x87 long doubles", 171 => "quad floats", 172 => "complex quad floats",
)

"The element type of Julia for a number of the format."
function julia_type(found::DType)
    found.code == BYTES && found.count > 0 && return FixedBytes{Int(found.count)}
    found.code == OPAQUE && found.count > 0 && return NTuple{Int(found.count), UInt8}
    type = get(TYPES, (found.code, found.bits), nothing)
    type === nothing || return type
    what = get(FOREIGN, found.code, "code $(found.code) with $(found.bits) bits and count $(found.count)")
    throw(SegmentError(TYPE_MISMATCH, "its elements are $what, for which Julia has no element type"))
end

# A Bool of Julia is the byte 0 or 1, and in the format every other byte is true as well: so bytes are stored, and read as what they mean.

"What elements are stored as."
storage(::Type{T}) where {T} = T
storage(::Type{Bool}) = UInt8

@inline from_storage(::Type{T}, stored::T) where {T} = stored
@inline from_storage(::Type{Bool}, stored::UInt8) = stored != 0x00

@inline to_storage(::Type{T}, value) where {T} = convert(T, value)::T
@inline to_storage(::Type{Bool}, value) = UInt8(convert(Bool, value))
