# How calls wait. A thread that waits inside the library cannot reach the points where Julia collects garbage, runs other tasks or handles Ctrl-C, so
# nothing waits there for long.

const BUSY, TIMED_OUT, INTERRUPTED, CLOSED = Int32(23), Int32(40), Int32(41), Int32(42)
const DEADLOCK, OWNER_DIED, NOT_HELD, CALLBACK_FAILED = Int32(45), Int32(46), Int32(48), Int32(61)

"The shortest and the longest wait in one call. In between the thread is Julia's: other tasks run, Ctrl-C is thrown, the collector does not wait."
const FIRST_SLICE, LAST_SLICE = Int64(1_000_000), Int64(20_000_000)

"As a timeout: as long as it takes."
const FOREVER = typemax(Int64)

now_ns() = Int64(time_ns())

"Seconds, or `nothing` for ever, as the moment when the wait ends."
deadline_after(::Nothing) = FOREVER
function deadline_after(seconds::Real)
    seconds >= 0 || throw(ArgumentError("`timeout` is $seconds; give 0 seconds or more, or nothing to wait as long as it takes"))
    wait_ns = 1e9 * seconds
    return wait_ns < 9e18 - now_ns() ? now_ns() + round(Int64, wait_ns) : FOREVER
end

"Throws the InterruptException of a Ctrl-C that came while the thread was outside: the end of such a block is where Julia looks for it."
throw_interrupt() = disable_sigint(() -> nothing)

"""
Waits in slices: `attempt(ns)` is a call that waits for so long. Returns its first status that is not a matter of waiting, or `TIMED_OUT` at the deadline. The
other tasks of this thread run in between.
"""
function in_slices(attempt, deadline::Int64, between = yield)
    slice = FIRST_SLICE
    while true
        left = deadline == FOREVER ? FOREVER : max(deadline - now_ns(), 0)
        status = attempt(min(slice, left))
        status == TIMED_OUT || return status
        left <= slice && return status
        between()
        throw_interrupt()
        slice = min(2slice, LAST_SLICE)
    end
end

# For the calls that cannot be cut into slices, because giving up has a meaning there, the thread tells the collector that it is away.

@static if VERSION >= v"1.7"
    states() = ccall(:jl_get_ptls_states, Ptr{Cvoid}, ())
    leave_julia() = ccall(:jl_gc_safe_enter, Int8, (Ptr{Cvoid},), states())
    return_to_julia(state) = ccall(:jl_gc_safe_leave, Cvoid, (Ptr{Cvoid}, Int8), states(), state)
else
    leave_julia() = ccall(:jl_gc_safe_enter, Int8, ())
    return_to_julia(state) = ccall(:jl_gc_safe_leave, Cvoid, (Int8,), state)
end

"Makes one call of the library that may take long. `call` does nothing else: it allocates nothing and throws nothing."
@noinline function outside(call)
    Threads.nthreads() == 1 && return call()
    state = leave_julia()
    status = call()
    return_to_julia(state)
    return status
end
