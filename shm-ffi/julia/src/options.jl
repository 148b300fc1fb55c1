# How a segment is created or attached: keyword arguments become the struct of the C header.

"`shm_options_t`."
struct Options
    size::UInt64
    mode::UInt32
    lifetime::Int32
    access::Int32
    flags::UInt32
    alignment::UInt64
    reserve_max::UInt64
end

const LIFETIMES = (persistent = Int32(0), last_detach = Int32(1), scoped = Int32(2))
const ACCESSES = (read_write = Int32(0), read_only = Int32(1), copy_on_write = Int32(2))

"The number behind a word."
function choice(what, word::Symbol, choices::NamedTuple)
    haskey(choices, word) && return choices[word]
    throw(ArgumentError("`$what` is :$word; it can be " * join((":$name" for name in keys(choices)), ", ", " or ")))
end

function Options(; mode = 0, lifetime = :persistent, access = :read_write, sparse = false, prefault = false, huge_pages = false,
                 lock_memory = false, any_owner = false, alignment = 0, reserve_max = 0)
    flags = 1sparse | 2prefault | 4huge_pages | 8lock_memory | 16any_owner
    return Options(sizeof(Options), mode, choice(:lifetime, lifetime, LIFETIMES), choice(:access, access, ACCESSES), flags,
                   alignment, reserve_max)
end
