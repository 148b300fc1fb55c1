# Segments from outside, by name: list, inspect, reap, delete.

"`shm_segment_info_t`, up to its texts."
struct Facts
    size::UInt64
    length::UInt64
    capacity::UInt64
    created_at::Int64
    entries::UInt64
    kind::Int32
    lifetime::Int32
    mode::UInt32
    owner::UInt32
    creator::UInt32
    creator_liveness::Int32
    leased_by::UInt32
    flags::UInt32
end

const NAME_SIZE, REMARK_SIZE = 4104, 256

"""
    SegmentInfo

What is known about a segment from outside, as [`SharedSegments.inspect`](@ref) and [`SharedSegments.list`](@ref) return it.

- `name`: with its prefix, `shm://` or `file://`.
- `kind`: `:array`, `:primitive`, `:arena` or `:pool`; `entries`: how many things are in it.
- `length`, `capacity`: bytes that it has, and may grow to, header included.
- `lifetime`: `:persistent`, `:last_detach` or `:scoped`; `attached`: whether anybody is attached now.
- `mode`, `owner`: permission bits and user id.
- `creator`, `creator_alive`: process id as the creator saw it, and whether it lives (`missing` where that cannot be seen).
- `leased_by`: who has the exclusive lease, `nothing` if nobody has, 0 if it is not known.
- `created_at`: seconds since 1970.
- `remark`: why its pages are not guaranteed to be there (a touch might be a SIGBUS), or empty.
"""
struct SegmentInfo
    name::String
    kind::Symbol
    entries::Int
    length::Int
    capacity::Int
    lifetime::Symbol
    attached::Bool
    mode::UInt16
    owner::Int
    creator::Int
    creator_alive::Union{Bool, Missing}
    leased_by::Union{Int, Nothing}
    created_at::Float64
    remark::String
end

const KINDS = (:array, :primitive, :arena, :pool)
const ATTACHED, LEASED = 0x1, 0x2

"A word for a number; newer libraries may have others."
nth(words, number) = number in 1:length(words) ? words[number] : :unknown

"Calls `ask` with a place for a description, and reads it."
function segment_info(ask)
    place = zeros(UInt8, sizeof(Facts) + NAME_SIZE + REMARK_SIZE)
    GC.@preserve place begin
        pointer_ = pointer(place)
        unsafe_store!(Ptr{UInt64}(pointer_), length(place))
        check(ask(pointer_))
        facts = unsafe_load(Ptr{Facts}(pointer_))
        name = unsafe_string(pointer_ + sizeof(Facts))
        remark = unsafe_string(pointer_ + sizeof(Facts) + NAME_SIZE)
    end
    alive = facts.creator_liveness == 0 ? missing : facts.creator_liveness == 1
    return SegmentInfo(name, nth(KINDS, facts.kind), facts.entries, facts.length, facts.capacity,
                       nth(keys(LIFETIMES), facts.lifetime + 1), facts.flags & ATTACHED != 0, facts.mode, facts.owner, facts.creator,
                       alive, facts.flags & LEASED != 0 ? Int(facts.leased_by) : nothing, facts.created_at / 1e9, remark)
end

function Base.show(io::IO, info::SegmentInfo)
    print(io, info.name, ": ", info.kind, ", ", Base.format_bytes(info.length), ", ", info.lifetime, info.attached ? ", attached" : ", nobody attached")
end

"""
    SharedSegments.inspect(name)

Looks at a segment without attaching it, and disturbs nobody: a [`SharedSegments.SegmentInfo`](@ref).
"""
inspect(name::AbstractString) = segment_info(place -> ccall((:shm_inspect, SONAME), Int32, (Cstring, Ptr{UInt8}), name, place))

"""
    SharedSegments.list(directory = nothing)

The living segments that one may read, sorted by name: those in shared memory, or the files in a directory. Dead ones of one's own are removed on the way.
"""
function list(directory::Name = nothing)
    handle, count = Ref(Id(0)), Ref{UInt64}(0)
    check(ccall((:shm_list, SONAME), Int32, (Cstring, Ref{Id}, Ref{UInt64}), c_name(directory), handle, count))
    try
        ask(index) = place -> ccall((:shm_list_segment, SONAME), Int32, (Id, UInt64, Ptr{UInt8}), handle[], index, place)
        return [segment_info(ask(index)) for index in 0:(Int(count[]) - 1)]
    finally
        check(ccall((:shm_list_free, SONAME), Int32, (Id,), handle[]))
    end
end

"""
    SharedSegments.reap(directory = nothing)

Removes the dead segments of this user, those whose lifetime is over but whose names nobody has removed yet, and returns how many there were. What is alive is
never touched.
"""
function reap(directory::Name = nothing)
    removed = Ref{UInt64}(0)
    check(ccall((:shm_reap, SONAME), Int32, (Cstring, Ref{UInt64}), c_name(directory), removed))
    return Int(removed[])
end

"""
    SharedSegments.delete(name)

Removes a name. Whoever has the segment attached keeps it; its memory goes with the last of them. Throws `:not_found`, and `:not_a_segment` for other files,
which are left alone.
"""
delete(name::AbstractString) = check(ccall((:shm_delete, SONAME), Int32, (Cstring,), name))
