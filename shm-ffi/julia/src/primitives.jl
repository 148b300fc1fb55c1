# What all locks and their like have in common: they are made and found by name, and closed.

"""
    SegmentLock <: Base.AbstractLock

A mutex between processes, for Julia's `lock`, `unlock` and `trylock`. It belongs to the process that takes it: whichever task or thread of it may unlock.
**Take this one** unless nanoseconds count; Python's `Lock` and C's `shm_process_mutex` are the same.

```julia
guard = create_or_attach(SegmentLock, "results.lock")
lock(guard) do
    A[1] += 1
end
```

It is not reentrant: a task that locks twice waits for itself (Ctrl-C ends that). Tasks that wait let others run. What happens when a holder dies: see
[`lock`](@ref Base.lock(::SegmentLock)).
"""
mutable struct SegmentLock <: Base.AbstractLock
    id::UInt64
    name::String
end

"""
    SegmentMutex <: Base.AbstractLock

A mutex between processes that belongs to the *thread* that takes it: the quickest one, the same as `Mutex` of Rust and `shm_mutex` of C. A task that holds it
stays on its thread (where Julia would otherwise move it, from 1.7 on) until it unlocks, which no other task may do for it. Another task of the same thread that
wants it waits, and lets others run. It is used as [`SegmentLock`](@ref).
"""
mutable struct SegmentMutex <: Base.AbstractLock
    id::UInt64
    name::String
    holder::Union{Task, Nothing}
    "Whether the holder was bound to its thread before it took the lock."
    bound::Bool
end
SegmentMutex(id, name) = SegmentMutex(id, name, nothing, false)

"""
    SegmentRecursiveMutex <: Base.AbstractLock

A mutex between processes that a task can lock again while it holds it; it has to unlock as often. It belongs to the thread, as [`SegmentMutex`](@ref) does, and other
tasks of that thread wait, as for that one, if they use the same object: the threads' lock itself does not tell tasks apart.
"""
mutable struct SegmentRecursiveMutex <: Base.AbstractLock
    id::UInt64
    name::String
    holder::Union{Task, Nothing}
    bound::Bool
    "The thread that holds it, and how many times."
    thread::Int
    depth::Int
end
SegmentRecursiveMutex(id, name) = SegmentRecursiveMutex(id, name, nothing, false, 0, 0)

"""
    SegmentRWLock

A lock between processes for many readers or one writer: `lock(f, reading(l))`, `lock(f, writing(l))`. It belongs to the thread that takes it, as
[`SegmentMutex`](@ref) does, and other tasks of that thread wait as others do. A reader that is killed simply vanishes; the death of a writer is news, as for
other locks.
"""
mutable struct SegmentRWLock
    id::UInt64
    name::String
    "The tasks that hold it through this object, once for each time, and what guards the list."
    holders::Vector{Task}
    guard::Threads.SpinLock
end
SegmentRWLock(id, name) = SegmentRWLock(id, name, Task[], Threads.SpinLock())

"""
    SegmentSemaphore

A semaphore between processes: `create(SegmentSemaphore, name, permits)`, then `Base.acquire(s; timeout = nothing)`, `Base.acquire(f, s)`, `Base.release(s, permits = 1)`,
`available(s)`. Permits of a process that dies are lost.
"""
mutable struct SegmentSemaphore
    id::UInt64
    name::String
end

"""
    SegmentBoundedSemaphore

A semaphore that has as many permits at most as at first: releasing one too many is an error, `:overflow`. Otherwise as [`SegmentSemaphore`](@ref).
"""
mutable struct SegmentBoundedSemaphore
    id::UInt64
    name::String
end

"""
    SegmentLatch

Opens, once and for all, when so many arrivals were counted: `create(SegmentLatch, name, arrivals)`, then [`countdown`](@ref)`(l, n = 1)`, `wait(l; timeout = nothing)`,
[`remaining`](@ref)`(l)`.
"""
mutable struct SegmentLatch
    id::UInt64
    name::String
end

"""
    SegmentOnce

Something that is done by whoever comes first, in whichever process: `once(f, o)`. See [`once`](@ref).
"""
mutable struct SegmentOnce
    id::UInt64
    name::String
    "The task of this process that is at it."
    runner::Union{Task, Nothing}
end
SegmentOnce(id, name) = SegmentOnce(id, name, nothing)

"""
    SegmentSequencer

Turns in the order of their numbers, whoever takes them: `create(SegmentSequencer, name, first = 0)`, then `turn(f, s, number)`. See [`turn`](@ref).
"""
mutable struct SegmentSequencer
    id::UInt64
    name::String
    holder::Union{Task, Nothing}
    bound::Bool
end
SegmentSequencer(id, name) = SegmentSequencer(id, name, nothing, false)

"""
    SegmentChannel

A bounded queue of messages (bytes) between processes: `create(SegmentChannel, name, bytes)`, then `put!(c, message; timeout = nothing)` of text or bytes,
`take!(c; timeout = nothing)` for a `Vector{UInt8}`, `isready(c)`, and `for message in c` until somebody calls `SharedSegments.shut(c)`. A process that is killed
in the middle tears no message and blocks nobody. C's `shm_byte_channel` is the same.
"""
mutable struct SegmentChannel
    id::UInt64
    name::String
end

"""
    SegmentBarrier

A barrier between processes: `create(SegmentBarrier, name, parties)`, then `wait(b; timeout = nothing)`. If a party dies while others wait, or calls
`SharedSegments.abort`, the barrier is broken for all: everybody gets `:broken`, until `reset(b)`.
"""
mutable struct SegmentBarrier
    id::UInt64
    name::String
end

"""
    SegmentEvent

A flag between processes that can be waited for: `create(SegmentEvent, name, set = false)`, then `wait(e; timeout = nothing)`, `notify(e)` sets it and wakes all,
`reset(e)` clears it, `isset(e)`.
"""
mutable struct SegmentEvent
    id::UInt64
    name::String
end

"""
    SegmentCondition

A condition variable between processes, used with a [`SegmentMutex`](@ref) that is held: `wait(c, mutex; timeout = nothing)` gives the mutex up, waits for
`notify(c; all = true)`, and takes it again. Always in a loop that looks at what is waited for.
"""
mutable struct SegmentCondition
    id::UInt64
    name::String
end

# Type, what it is called in C, the parameters of the constructor with C's types, and what attaching needs.
const PRIMITIVES = [
    (:SegmentLock, :process_mutex, [], [], []),
    (:SegmentMutex, :mutex, [], [(:UInt64, 0)], [(:UInt64, 0)]),
    (:SegmentRecursiveMutex, :recursive_mutex, [], [(:UInt64, 0)], [(:UInt64, 0)]),
    (:SegmentRWLock, :rwlock, [], [(:UInt64, 0)], [(:UInt64, 0)]),
    (:SegmentSemaphore, :semaphore, [:(permits::Integer)], [(:UInt32, :(checked("permits", permits)))], []),
    (:SegmentBoundedSemaphore, :bounded_semaphore, [:(permits::Integer)], [(:UInt32, :(checked("permits", permits)))], []),
    (:SegmentLatch, :latch, [:(arrivals::Integer)], [(:UInt32, :(checked("arrivals", arrivals)))], []),
    (:SegmentOnce, :once, [], [], []),
    (:SegmentSequencer, :sequencer, [Expr(:kw, :(first::Integer), 0)], [(:UInt64, :(number("first", first)))], []),
    (:SegmentChannel, :byte_channel, [:(bytes::Integer)], [(:UInt64, :(number("bytes", bytes)))], []),
    (:SegmentBarrier, :barrier, [:(parties::Integer)], [(:UInt32, :(checked("parties", parties)))], []),
    (:SegmentEvent, :event, [Expr(:kw, :(set::Bool), false)], [(:Int32, :set)], []),
    (:SegmentCondition, :condvar, [], [], []),
]

const AnyPrimitive = Union{SegmentLock, SegmentMutex, SegmentRecursiveMutex, SegmentRWLock, SegmentSemaphore, SegmentBoundedSemaphore, SegmentBarrier,
                           SegmentEvent, SegmentCondition, SegmentLatch, SegmentOnce, SegmentSequencer, SegmentChannel}

"A number that C can take."
checked(what, number) = number in 0:typemax(UInt32) ? UInt32(number) :
    throw(ArgumentError("`$what` is $number; give a number from 0 to $(typemax(UInt32))"))

"A number from 0 on."
number(what, n) = n >= 0 ? UInt64(n) : throw(ArgumentError("`$what` is $n; give a number from 0 on"))

for (kind, object, parameters, made_with, found_with) in PRIMITIVES
    function_(verb) = QuoteNode(Symbol("shm_", object, "_", verb))
    types(arguments) = first.(arguments)
    values(arguments) = last.(arguments)
    @eval begin
        function create(::Type{$kind}, name::Name, $(parameters...); options...)
            handle = Ref(Id(0))
            given = name === nothing && isempty(options) ? Ptr{Options}(C_NULL) : Ref(Options(; options...))
            GC.@preserve given check(ccall(($(function_(:create)), SONAME), Int32,
                (Cstring, Ptr{Options}, $(types(made_with)...), Ref{Id}),
                c_name(name), given isa Ptr ? given : Base.unsafe_convert(Ptr{Options}, given), $(values(made_with)...), handle))
            return primitive($kind, handle[], name)
        end

        function attach(::Type{$kind}, name::AbstractString)
            handle = Ref(Id(0))
            check(ccall(($(function_(:attach)), SONAME), Int32, (Cstring, $(types(found_with)...), Ref{Id}),
                        name, $(values(found_with)...), handle))
            return primitive($kind, handle[], name)
        end

        function create_or_attach(::Type{$kind}, name::AbstractString, $(parameters...))
            handle = Ref(Id(0))
            check(ccall(($(function_(:create_or_attach)), SONAME), Int32, (Cstring, $(types(made_with)...), Ref{Id}),
                        name, $(values(made_with)...), handle))
            return primitive($kind, handle[], name)
        end

        detach(one::$kind, id::Id) = ccall(($(function_(:detach)), SONAME), Int32, (Id,), id)
    end
    for verb in (:create, :attach, :create_or_attach)
        @eval function $verb(f::Function, kind::Type{$kind}, arguments...; options...)
            one = $verb(kind, arguments...; options...)
            try
                return f(one)
            finally
                close(one)
            end
        end
    end
end

function primitive(kind, handle::Id, name::Name)
    one = kind(handle.id, name === nothing ? "(without a name)" : String(name))
    finalizer(one -> isopen(one) && detach(one, Id(one.id)), one)
    return one
end

@inline handle(one::AnyPrimitive) = Id(one.id)

Base.isopen(one::AnyPrimitive) = one.id != 0

"""
    close(lock)

Gives a lock, semaphore, channel or the like back; it stays for others. Every use after that throws `:invalid_handle`. A lock that this thread holds is
not closed: `:lock_held`.
"""
function Base.close(one::AnyPrimitive)
    isopen(one) || return nothing
    check(detach(one, handle(one)))
    one.id = 0
    return nothing
end

Base.show(io::IO, one::AnyPrimitive) = print(io, nameof(typeof(one)), "(", repr(one.name), isopen(one) ? ")" : ", closed)")

"The exception for a status of a call that this thread has just made."
@noinline failed(one::AnyPrimitive, status::Int32) = isopen(one) ? throw(last_error(status)) : closed("the $(nameof(typeof(one))) $(one.name)")
