"""
Arrays and locks in shared memory, for Julia, Python, Rust, C and C++ processes of one machine, by way of `libshm.so`. There is no server.

| to do | use |
|---|---|
| an array of this process's making | [`create`](@ref)`(SegmentArray{Float64}, "name", (3, 4))` |
| an array of somebody else's | [`attach`](@ref)`(SegmentArray, "name")` |
| whoever comes first makes it | [`create_or_attach`](@ref)`(SegmentArray{Float64}, "name", (3, 4))` |
| make it longer, for everybody | [`grow`](@ref)`(array, n)` |
| be alone with it | [`exclusive`](@ref)`(f, array)` |
| a lock that other processes take too | [`create_or_attach`](@ref)`(SegmentLock, "name")`, then `lock(f, l)` |
| something for others to do | [`create`](@ref)`(SegmentChannel, "name", 1 << 20)`, then `put!` and `take!` |
| let it go; remove its name | `close(array)`; [`SharedSegments.delete`](@ref)`("name")` |

What goes wrong throws a [`SegmentError`](@ref).
"""
module SharedSegments

export SegmentArray, StridedSegmentArray, FixedBytes, SegmentError
export SegmentLock, SegmentMutex, SegmentRecursiveMutex, SegmentRWLock, SegmentSemaphore, SegmentBoundedSemaphore, SegmentBarrier, SegmentEvent
export SegmentCondition, SegmentLatch, SegmentOnce, SegmentSequencer, SegmentChannel, SegmentLease
export create, attach, create_or_attach, reading, writing, available, isset, grow, refresh, exclusive, countdown, remaining, once, turn

include("library.jl")
include("status.jl")
include("options.jl")
include("elements.jl")
include("attachment.jl")
include("array.jl")
include("strided.jl")
include("views.jl")
include("open.jl")
include("growth.jl")
include("names.jl")
include("waiting.jl")
include("primitives.jl")
include("locks.jl")
include("signals.jl")
include("turns.jl")
include("channels.jl")

function __init__()
    load_library()
end

end
