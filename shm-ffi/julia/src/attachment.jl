# The handle behind arrays: who still needs it, and when it is given back.

"`shm_array_t` and all other handles."
struct Id
    id::UInt64
end

"""
One handle of an array. It is given back by `close`, or when the garbage collector has found that nothing which reaches the memory is left.
"""
mutable struct Attachment
    "0 when it is closed."
    id::UInt64
    name::String
    "Whether everybody sees what is written, or it is a private copy."
    writable::Bool
    "How many objects of Julia's reach the memory."
    users::Threads.Atomic{Int}
end

Base.isopen(attachment::Attachment) = attachment.id != 0

@inline check_open(attachment::Attachment) = isopen(attachment) || closed("the array $(attachment.name)")

@inline function check_writable(attachment::Attachment)
    attachment.writable || throw(SegmentError(25, "the array $(attachment.name) is attached read-only"))
    return nothing
end

"Counts `owner` among the users of the attachment until it is collected. `owner` is what all ways to the memory keep alive."
function keep!(attachment::Attachment, owner)
    Threads.atomic_add!(attachment.users, 1)
    finalizer(_ -> let_go!(attachment), owner)
    return nothing
end

"What keeps the memory of an `Array` alive: the object that is shared with its reshapes."
memory_of(array::Array) = @static VERSION >= v"1.11" ? array.ref.mem : array

function let_go!(attachment::Attachment)
    # The last one detaches. A lock that is held inside is no matter for a finalizer: the end of the process lets go of both.
    if Threads.atomic_sub!(attachment.users, 1) == 1 && isopen(attachment)
        detach(attachment)
    end
    return nothing
end

function detach(attachment::Attachment)
    id = attachment.id
    attachment.id = 0
    status = ccall((:shm_array_detach, SONAME), Int32, (Id,), Id(id))
    status == OK || (attachment.id = id)
    return status
end

function Base.close(attachment::Attachment)
    isopen(attachment) && check(detach(attachment))
    return nothing
end
