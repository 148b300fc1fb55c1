# Arrays whose elements lie without gaps: Julia's own Array over the shared memory, with a door that can be closed.

"""
    SegmentArray{T, N} <: DenseArray{T, N}

An array in shared memory, made by [`create`](@ref), [`attach`](@ref) or [`create_or_attach`](@ref). It is used like an `Array`: indexing, broadcasting,
views, linear algebra, `pointer`. Its elements lie in Julia's order (the first index runs fastest).

`close(array)` gives it back, and every use after that throws a [`SegmentError`](@ref); views and reshapes of it are closed with it. The garbage collector
closes what is forgotten. Only code that has left out the checks by `@inbounds`, or has kept a `pointer`, must not go on after `close`.

# Index order

Others may have made the array in C order (NumPy's and Rust's default), where the *last* index runs fastest. Nothing is copied: such an array appears
with its dimensions reversed, `a[i, j]` of NumPy being `A[j+1, i+1]`, and is as fast as any. With `attach(...; permute = true)` it keeps
its dimensions, `A[i+1, j+1]`, as a `PermutedDimsArray` around the other one; loops then run best over the last index.

When an array is made, `order` says how others see it: `:F` (the default), the same dimensions in Fortran order; `:C`, reversed dimensions in C order.
For Julia it is the same memory.

# Threads, other processes

Whoever writes what another reads at that time needs a lock around both, in Julia as elsewhere. Two threads may use different elements.
"""
struct SegmentArray{T, N, S} <: DenseArray{T, N}
    attachment::Attachment
    data::Array{S, N}
end

function SegmentArray{T}(attachment::Attachment, address::Ptr{Cvoid}, dims::Dims{N}) where {T, N}
    S = storage(T)
    data = unsafe_wrap(Array, Ptr{S}(address), dims)
    keep!(attachment, memory_of(data))
    return SegmentArray{T, N, S}(attachment, data)
end

Base.IndexStyle(::Type{<:SegmentArray}) = IndexLinear()

@inline function Base.size(array::SegmentArray)
    check_open(array.attachment)
    return size(array.data)
end

@inline function Base.getindex(array::SegmentArray{T}, index::Int) where {T}
    @boundscheck checkbounds(array, index)
    return from_storage(T, @inbounds array.data[index])
end

@inline function Base.setindex!(array::SegmentArray{T}, value, index::Int) where {T}
    @boundscheck (checkbounds(array, index); check_writable(array.attachment))
    @inbounds array.data[index] = to_storage(T, value)
    return array
end

Base.elsize(::Type{<:SegmentArray{T}}) where {T} = sizeof(T)

function Base.unsafe_convert(::Type{Ptr{T}}, array::SegmentArray{T}) where {T}
    check_open(array.attachment)
    return Ptr{T}(pointer(array.data))
end

Base.strides(array::SegmentArray) = Base.size_to_strides(1, size(array)...)

# Whole arrays go as bytes, which the loop of the fallback would not always be turned into.
function Base.copyto!(to::Array{T}, from::SegmentArray{T, <:Any, T}) where {T}
    check_open(from.attachment)
    return copyto!(to, from.data)
end

function Base.copyto!(to::SegmentArray{T, <:Any, T}, from::Array{T}) where {T}
    check_open(to.attachment)
    check_writable(to.attachment)
    copyto!(to.data, from)
    return to
end
