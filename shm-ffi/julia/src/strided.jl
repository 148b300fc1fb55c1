# Arrays of others whose elements lie neither in C nor in Fortran order without gaps.

"""
    StridedSegmentArray{T, N} <: AbstractArray{T, N}

An array in shared memory with any strides, such as one with gaps between the rows, that somebody else has made: [`attach`](@ref) returns it where the memory
is in neither order. It has the dimensions of its maker, and its elements are read and written where they are. `close` is as for [`SegmentArray`](@ref).
"""
struct StridedSegmentArray{T, N, S} <: AbstractArray{T, N}
    attachment::Attachment
    address::Ptr{S}
    dims::Dims{N}
    "Bytes from one element to the next along each dimension."
    steps::Dims{N}
end

function StridedSegmentArray{T}(attachment::Attachment, address::Ptr{Cvoid}, dims::Dims{N}, steps::Dims{N}) where {T, N}
    keep!(attachment, attachment)
    S = storage(T)
    return StridedSegmentArray{T, N, S}(attachment, Ptr{S}(address), dims, steps)
end

@inline function Base.size(array::StridedSegmentArray)
    check_open(array.attachment)
    return array.dims
end

@inline place(array::StridedSegmentArray, index) = array.address + sum((index .- 1) .* array.steps)

@inline function Base.getindex(array::StridedSegmentArray{T, N}, index::Vararg{Int, N}) where {T, N}
    @boundscheck checkbounds(array, index...)
    attachment = array.attachment
    return GC.@preserve attachment from_storage(T, unsafe_load(place(array, index)))
end

@inline function Base.setindex!(array::StridedSegmentArray{T, N}, value, index::Vararg{Int, N}) where {T, N}
    @boundscheck (checkbounds(array, index...); check_writable(array.attachment))
    attachment = array.attachment
    GC.@preserve attachment unsafe_store!(place(array, index), to_storage(T, value))
    return array
end
