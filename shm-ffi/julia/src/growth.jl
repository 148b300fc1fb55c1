# What is done with the segment behind an array: growth, writing back, and being alone with it.

"""
    grow(array, n)

Lengthens an array in place and for everybody, and returns it with its new size; new elements are zero. `array` itself, its views and those of other processes stay good,
with the size that they have. It gets `n` elements along its *last* dimension at least (the first, if it was attached with `permute = true`), and whatever others have
grown it to.

The array must have been created for that: `create(SegmentArray{T}, name, dims; order = :C, reserve_max = bytes)`, a vector in either order. Otherwise, and above
`reserve_max`, the error is `:limit_exceeded`.

```julia
samples = create(SegmentArray{Float64}, "samples", (0,); reserve_max = 1 << 30)
samples = grow(samples, 1000)
```
"""
function grow(array::SegmentArray, n::Integer)
    attachment = array.attachment
    check_open(attachment)
    ndims(array) > 0 || throw(ArgumentError("an array without dimensions cannot grow"))
    check(ccall((:shm_array_grow, SONAME), Int32, (Id, Int64), Id(attachment.id), n))
    return refresh(array)
end

"""
    refresh(array)

The array with the size that it has now: another process may have made it longer (see [`grow`](@ref)). The same memory; `array` stays good.
"""
function refresh(array::SegmentArray{T, N}) where {T, N}
    attachment = array.attachment
    check_open(attachment)
    info = array_info(Id(attachment.id))
    # Only arrays in C order grow, and vectors, along the dimension that is Julia's last.
    shape = Dims(info.shape[1:Int(info.ndim)])
    dims = prod(shape) == length(array) ? size(array) : reverse(shape)
    return SegmentArray{T}(attachment, info.data, dims)
end

# An array that was attached with `permute = true` grows along its first dimension, and stays permuted.
const Permuted = PermutedDimsArray{<:Any, <:Any, <:Any, <:Any, <:SegmentArray}
permuted_as(_::PermutedDimsArray{T, N, perm}, array) where {T, N, perm} = PermutedDimsArray(array, perm)
grow(array::Permuted, n::Integer) = permuted_as(array, grow(parent(array), n))
refresh(array::Permuted) = permuted_as(array, refresh(parent(array)))

"""
    SharedSegments.sync(array; wait = true)

Writes what has changed back to the file of a `file://` array; without `wait` it is only begun. Arrays in memory have no file, and nothing is to be done.
"""
function sync(array::AnySegmentArray; wait::Bool = true)
    attachment = array.attachment
    check_open(attachment)
    check(ccall((:shm_array_sync, SONAME), Int32, (Id, Int32), Id(attachment.id), wait ? SYNC_WAIT : SYNC_START))
    return nothing
end
sync(array::PermutedDimsArray; wait::Bool = true) = sync(parent(array); wait = wait)

const SYNC_START, SYNC_WAIT = Int32(0), Int32(1)

"""
    SegmentLease

While it lives nobody else can attach the segment: see [`exclusive`](@ref).
"""
mutable struct SegmentLease
    id::UInt64
    name::String
end

"""
    exclusive(array)
    exclusive(f, array)

The exclusive lease of an array: while it lives nobody else has the array attached or can attach it (they get `:busy`). With a function it is given back when that ends,
otherwise by `close(lease)`. `:busy` if somebody has it attached now, in this process too.
"""
function exclusive(array::AnySegmentArray)
    attachment = array.attachment
    check_open(attachment)
    handle = Ref(Id(0))
    check(ccall((:shm_array_exclusive, SONAME), Int32, (Id, Ref{Id}), Id(attachment.id), handle))
    lease = SegmentLease(handle[].id, attachment.name)
    finalizer(close, lease)
    return lease
end
exclusive(array::PermutedDimsArray) = exclusive(parent(array))

function exclusive(f::Function, array::Closable)
    lease = exclusive(array)
    try
        return f()
    finally
        close(lease)
    end
end

Base.isopen(lease::SegmentLease) = lease.id != 0

function Base.close(lease::SegmentLease)
    isopen(lease) || return nothing
    id = lease.id
    lease.id = 0
    check(ccall((:shm_exclusive_free, SONAME), Int32, (Id,), Id(id)))
    return nothing
end

Base.show(io::IO, lease::SegmentLease) = print(io, "SegmentLease(", repr(lease.name), isopen(lease) ? ")" : ", given back)")
