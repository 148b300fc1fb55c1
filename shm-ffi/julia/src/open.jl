# Arrays by name: create, attach, create_or_attach, close.

"`shm_array_info_t`."
struct ArrayInfo
    size::UInt64
    data::Ptr{Cvoid}
    dtype::DType
    item_size::UInt64
    length::UInt64
    generation::UInt64
    ndim::Int32
    flags::UInt32
    shape::NTuple{64, Int64}
    strides::NTuple{64, Int64}
end

const ORDERS = (C = Int32(0), F = Int32(1))
const F_CONTIGUOUS = 0x2
const WRITABLE = 0x4

const AnySegmentArray = Union{SegmentArray, StridedSegmentArray}
const Name = Union{AbstractString, Nothing}

c_name(name::AbstractString) = String(name)
c_name(::Nothing) = Ptr{UInt8}(C_NULL)

"""
    create(SegmentArray{T}, name, dims; order = :F, options...)
    create(f, SegmentArray{T}, name, dims; ...)

A new [`SegmentArray`](@ref) of zeros. `name` is `"shm://NAME"`, `"NAME"` or `"file://PATH"`, or `nothing` for memory without a name. The name must be free:
otherwise `:already_exists` is thrown. With a function (a `do` block) the array is closed when the function ends.

`order` says how others see the memory, `:F` or `:C`: see [`SegmentArray`](@ref). `T` is `Bool`, an integer of 8 to 64 bits, `Float16` to `Float64`, `ComplexF32`,
`ComplexF64`, [`FixedBytes`](@ref)`{K}` or `NTuple{K, UInt8}`.

Options: `lifetime` (`:persistent`; `:last_detach`, ends with its last attachment, even if that is killed; `:scoped`, ends with this
handle or process), `mode` (permission bits, `0o600`), `sparse`, `prefault`, `huge_pages`, `lock_memory`, `alignment`, `reserve_max`.

```julia
A = create(SegmentArray{Float64}, "results", (3, 4))
A .= 1.5
close(A)
```
"""
function create(kind::Type{<:SegmentArray}, name::Name, dims::Dims; order::Symbol = :F, options...)
    handle = Ref(Id(0))
    type, shape = planned(kind, dims, order)
    check(ccall((:shm_array_create, SONAME), Int32,
                (Cstring, Ref{Options}, DType, Ptr{Int64}, Int32, Int32, Ref{Id}),
                c_name(name), Options(; options...), dtype(type), shape, length(shape), choice(:order, order, ORDERS), handle))
    # The dimensions are what was asked for, also where both orders are the same memory.
    return opened(kind, handle[], name, dims -> order === :C ? reverse(dims) : dims)
end

"""
    attach(SegmentArray, name; permute = false, options...)
    attach(SegmentArray{T, N}, name; ...)
    attach(f, SegmentArray, name; ...)

The array that somebody has created under this name: a [`SegmentArray`](@ref), or a [`StridedSegmentArray`](@ref) where the elements lie with gaps. With
element type or number of dimensions given, those are checked, and anything else is `:type_mismatch` or `:shape_mismatch`. With a function (a `do`
block) the array is closed when the function ends.

An array in C order comes with its dimensions reversed; `permute = true` keeps them: see [`SegmentArray`](@ref).

Options: `access` (`:read_write`; `:read_only`; `:copy_on_write`, where one's own writes are seen by nobody else), `prefault`, `huge_pages`, `lock_memory`,
`any_owner` (segments of other users too).
"""
function attach(kind::Type{<:SegmentArray}, name::AbstractString; permute::Bool = false, options...)
    handle = Ref(Id(0))
    check(ccall((:shm_array_attach, SONAME), Int32, (Cstring, Ref{Options}, Ref{Id}), name, Options(; options...), handle))
    private = get(options, :access, :read_write) === :copy_on_write
    return opened(kind, handle[], name, nothing; permute = permute, private = private)
end

"""
    create_or_attach(SegmentArray{T}, name, dims; order = :F, options...)

The array under this name, which is created if there is none: of several processes that call this at the same time one creates it and all get it. An array
that is there already must have this element type, these dimensions and this order. Otherwise as [`create`](@ref).
"""
function create_or_attach(kind::Type{<:SegmentArray}, name::AbstractString, dims::Dims; order::Symbol = :F, options...)
    handle = Ref(Id(0))
    type, shape = planned(kind, dims, order)
    check(ccall((:shm_array_create_or_attach, SONAME), Int32,
                (Cstring, Ref{Options}, DType, Ptr{Int64}, Int32, Int32, Ref{Id}, Ptr{Int32}),
                name, Options(; options...), dtype(type), shape, length(shape), choice(:order, order, ORDERS), handle, C_NULL))
    return opened(kind, handle[], name, dims -> order === :C ? reverse(dims) : dims)
end

create(kind::Type{<:SegmentArray}, name::Name, dims::Integer...; options...) = create(kind, name, Dims(dims); options...)
create_or_attach(kind::Type{<:SegmentArray}, name::AbstractString, dims::Integer...; options...) =
    create_or_attach(kind, name, Dims(dims); options...)

for verb in (:create, :attach, :create_or_attach)
    @eval function $verb(f::Function, kind::Type{<:SegmentArray}, arguments...; options...)
        array = $verb(kind, arguments...; options...)
        try
            return f(array)
        finally
            close(array)
        end
    end
end

"The element type and the shape as the format knows it."
function planned(kind::Type{<:SegmentArray}, dims::Dims, order::Symbol)
    type = element_of(kind)
    type === nothing && throw(ArgumentError("say what the elements are: SegmentArray{Float64}, for instance"))
    wanted = dimensions_of(kind)
    wanted === nothing || wanted == length(dims) ||
        throw(ArgumentError("$kind has $wanted dimensions, and $(length(dims)) were given: $dims"))
    return type, collect(Int64, order === :C ? reverse(dims) : dims)
end

element_of(::Type{<:SegmentArray}) = nothing
element_of(::Type{<:SegmentArray{T}}) where {T} = T
dimensions_of(::Type{<:SegmentArray}) = nothing
dimensions_of(::Type{<:SegmentArray{T, N} where T}) where {N} = N

"The array behind a new handle. If anything is in the way, the handle is given back."
function opened(kind, handle::Id, name::Name, dims_of; permute = false, private = false)
    attachment = Attachment(handle.id, name === nothing ? "(without a name)" : String(name), private, Threads.Atomic{Int}(0))
    try
        return wrapped(kind, attachment, array_info(handle), dims_of, permute)
    catch
        detach(attachment)
        rethrow()
    end
end

function array_info(handle::Id)
    info = Ref{ArrayInfo}()
    pointer = Ptr{UInt64}(Base.unsafe_convert(Ptr{ArrayInfo}, info))
    GC.@preserve info begin
        unsafe_store!(pointer, sizeof(ArrayInfo))
        check(ccall((:shm_array_info, SONAME), Int32, (Id, Ptr{Cvoid}), handle, pointer))
    end
    return info[]
end

function wrapped(kind, attachment, info::ArrayInfo, dims_of, permute)
    count = Int(info.ndim)
    shape, steps = Dims(info.shape[1:count]), Dims(info.strides[1:count])
    attachment.writable |= info.flags & WRITABLE != 0
    type = elements(kind, attachment, info)
    wanted = dimensions_of(kind)
    wanted === nothing || wanted == count ||
        throw(SegmentError(SHAPE_MISMATCH, "the array $(attachment.name) has $count dimensions, $shape, and not $wanted"))
    order = order_of(shape, steps, Int(info.item_size), info.flags)
    order === :neither && return StridedSegmentArray{type}(attachment, info.data, shape, steps)
    dims = dims_of !== nothing ? dims_of(shape) : order === :C ? reverse(shape) : shape
    array = SegmentArray{type}(attachment, info.data, dims)
    permute && order === :C && count > 1 && return PermutedDimsArray(array, ntuple(place -> count + 1 - place, count))
    return array
end

function elements(kind, attachment, info)
    type = try
        julia_type(info.dtype)
    catch problem
        throw(SegmentError(problem.code, "attach the array $(attachment.name): $(problem.text)"))
    end
    wanted = element_of(kind)
    wanted === nothing || wanted === type ||
        throw(SegmentError(TYPE_MISMATCH, "the array $(attachment.name) has elements of type $type, and not $wanted"))
    return type
end

"""
The order of the elements, `:F`, `:C` or `:neither`. Where the memory is the same in both orders because an extent is 1, the strides still tell which
one its maker meant, so that the dimensions do not depend on the sizes.
"""
function order_of(shape::Dims, steps::Dims, item::Int, flags)
    flags & 0x3 == 0 && return :neither
    steps == packed(shape, item) && return :F
    steps == reverse(packed(reverse(shape), item)) && return :C
    return flags & F_CONTIGUOUS != 0 ? :F : :C
end

"The steps of an array without gaps in Fortran order; an extent of 0 counts as 1."
packed(shape::Dims, item::Int) = ntuple(place -> item * prod(max.(shape[1:(place - 1)], 1)), length(shape))

attachment_of(array::AnySegmentArray) = array.attachment
attachment_of(array::PermutedDimsArray) = attachment_of(parent(array))

const Closable = Union{AnySegmentArray, PermutedDimsArray{<:Any, <:Any, <:Any, <:Any, <:SegmentArray}}

"""
    close(array)

Gives a shared array back: the memory goes away with the last array of the same segment in this process, the segment itself stays for others. Every use of the
array, its views and reshapes throws from then on. Closing twice does nothing. `:lock_held` is thrown if this process holds a lock inside the segment.
"""
Base.close(array::Closable) = close(attachment_of(array))

"""
    isopen(array)

Whether a shared array has not been closed yet.
"""
Base.isopen(array::Closable) = isopen(attachment_of(array))
