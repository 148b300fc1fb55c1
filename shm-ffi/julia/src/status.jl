# What calls return, and the one exception that it becomes.

const OK = Int32(0)
const INVALID_HANDLE = Int32(2)
const TYPE_MISMATCH = Int32(21)
const SHAPE_MISMATCH = Int32(22)

"""
    SegmentError

The exception of this package: a call of `libshm.so` failed, and nothing has changed.

- `status::Symbol`: why, as in the C header but in small letters: `:not_found`, `:already_exists`, `:busy`, `:timed_out`, `:owner_died`, ...
- `code::Int32`: the same as the number of the C header, which never changes.
- `text::String`: what was attempted, on which name, why it failed, and what to do.
- `errno::Int32`: the error of the system call behind it, or 0.

```julia
try
    attach(SegmentArray, "results")
catch problem
    problem isa SegmentError && problem.status === :not_found || rethrow()
    create(SegmentArray{Float64}, "results", (3, 4))
end
```
"""
struct SegmentError <: Exception
    status::Symbol
    code::Int32
    text::String
    errno::Int32
end

"The word of a status."
function status_word(code::Int32)
    name = unsafe_string(ccall((:shm_status_name, SONAME), Ptr{UInt8}, (Int32,), code))
    return Symbol(lowercase(replace(name, "SHM_STATUS_" => "")))
end

"An error that is found on this side."
SegmentError(code::Integer, text) = SegmentError(status_word(Int32(code)), code, text, 0)

Base.showerror(io::IO, problem::SegmentError) = print(io, "SegmentError (", problem.status, "): ", problem.text)

"The error of the call that this thread has just made."
@noinline function last_error(code::Int32)
    text = unsafe_string(ccall((:shm_last_error, SONAME), Ptr{UInt8}, ()))
    return SegmentError(status_word(code), code, text, ccall((:shm_last_errno, SONAME), Int32, ()))
end

"Throws unless all went well."
@inline function check(code::Int32)
    code == OK || throw(last_error(code))
    return nothing
end

@noinline closed(what) = throw(SegmentError(INVALID_HANDLE, "$what is closed; attach it again to use it"))
