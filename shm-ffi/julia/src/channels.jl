# Channels of messages between processes.

"The bytes of a message."
message_bytes(message::AbstractString) = codeunits(String(message))
message_bytes(message::AbstractVector{UInt8}) = message isa DenseVector ? message : Vector{UInt8}(message)

"""
    put!(c::SegmentChannel, message; timeout = nothing)

Sends a message, text or bytes; waits while there is no room. `:closed` after [`SharedSegments.shut`](@ref), `:invalid_argument` for a message that is longer than
the channel.
"""
function Base.put!(c::SegmentChannel, message::Union{AbstractString, AbstractVector{UInt8}}; timeout = nothing)
    bytes = message_bytes(message)
    GC.@preserve bytes begin
        place = pointer(bytes)
        wait_for(c, ns -> ccall((:shm_byte_channel_send_timeout_ns, SONAME), Int32, (Id, Ptr{UInt8}, UInt64, Int64),
                                handle(c), place, length(bytes), ns), timeout)
    end
    return message
end

"""
    take!(c::SegmentChannel; timeout = nothing)

Receives the next message, a `Vector{UInt8}` (`String(take!(c))` for text); waits while there is none. `:closed` when everything was received and the channel
was shut.
"""
function Base.take!(c::SegmentChannel; timeout = nothing)
    message, status = received(c, timeout)
    status == OK || failed(c, status)
    return message
end

function received(c::SegmentChannel, timeout)
    place, len = Ref{Ptr{Cvoid}}(C_NULL), Ref{UInt64}(0)
    status = in_slices(deadline_after(timeout)) do ns
        ccall((:shm_byte_channel_recv_timeout_ns, SONAME), Int32, (Id, Int64, Ref{Ptr{Cvoid}}, Ref{UInt64}), handle(c), ns, place, len)
    end
    status == OK || return UInt8[], status
    bytes = Vector{UInt8}(undef, len[])
    GC.@preserve bytes unsafe_copyto!(pointer(bytes), Ptr{UInt8}(place[]), len[])
    ccall((:shm_free, SONAME), Cvoid, (Ptr{Cvoid},), place[])
    return bytes, status
end

"Message after message, until the channel is shut and everything was received."
function Base.iterate(c::SegmentChannel, _ = nothing)
    message, status = received(c, nothing)
    status == CLOSED && return nothing
    status == OK || failed(c, status)
    return message, nothing
end
Base.IteratorSize(::Type{SegmentChannel}) = Base.SizeUnknown()
Base.eltype(::Type{SegmentChannel}) = Vector{UInt8}

"`shm_channel_state_t`."
struct ChannelState
    messages::UInt64
    capacity::UInt64
    is_closed::Int32
    reserved::UInt32
end

"""
    SharedSegments.state(c::SegmentChannel)

How the channel is now: `(messages = ..., capacity = ..., shut = ...)`.
"""
function state(c::SegmentChannel)
    found = Ref(ChannelState(0, 0, 0, 0))
    status = ccall((:shm_byte_channel_state, SONAME), Int32, (Id, Ref{ChannelState}), handle(c), found)
    status == OK || failed(c, status)
    return (messages = Int(found[].messages), capacity = Int(found[].capacity), shut = found[].is_closed != 0)
end

"Whether there is a message now."
Base.isready(c::SegmentChannel) = state(c).messages > 0

"""
    SharedSegments.shut(c::SegmentChannel)

Closes the channel for everybody, for good: nothing can be sent any more, and what was sent can still be received. Returns whether it was open. (`close(c)` gives
back no more than this process's access.)
"""
shut(c::SegmentChannel) = ask(c, Int32, place -> ccall((:shm_byte_channel_close, SONAME), Int32, (Id, Ref{Int32}), handle(c), place)) != 0
