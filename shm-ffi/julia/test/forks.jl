# What a forked child of a Julia process may do with what it inherited: a status each, and nothing of the parent's is lost. Julia itself cannot compile or
# collect there, so the parent does everything once before.

"The status of the error, or `:fine`."
outcome(work) = try
    work()
    :fine
catch problem
    problem isa SegmentError ? problem.status : :other
end

"What the child finds, as bits: 0 if all is as it should be."
function inheritance(A, mutex, recursive, rwlock, open)
    wrong = 0
    A[2] = A[1] + 1
    sum(A) == 6 || (wrong |= 1)
    outcome(() -> unlock(mutex)) === :inherited || (wrong |= 2)
    outcome(() -> unlock(recursive)) === :inherited || (wrong |= 4)
    outcome(() -> unlock(writing(rwlock))) === :inherited || (wrong |= 8)
    trylock(mutex) && (wrong |= 16)
    outcome(() -> (lock(open); unlock(open))) === :fine || (wrong |= 32)
    outcome(() -> close(A)) === :fine || (wrong |= 64)
    outcome(() -> A[1]) === :invalid_handle || (wrong |= 128)
    return wrong
end

function inherited_things(name)
    A = create(SegmentArray{Int}, name, (3,))
    A .= [1, 0, 3]
    mutex, recursive, rwlock, open = create(SegmentMutex, nothing), create(SegmentRecursiveMutex, nothing), create(SegmentRWLock, nothing), create(SegmentLock, nothing)
    lock(mutex)
    lock(recursive)
    lock(writing(rwlock))
    return A, mutex, recursive, rwlock, open
end

if VERSION < v"1.10" && Threads.nthreads() == 1
    test("forks: what a child inherits is its parent's") do name
        inheritance(inherited_things(nothing)...) # compiled
        A, mutex, recursive, rwlock, open = things = inherited_things(name)
        GC.enable(false)
        child = ccall(:fork, Cint, ())
        if child == 0
            ccall(:alarm, Cuint, (Cuint,), 60)
            ccall(:_exit, Cvoid, (Cint,), inheritance(things...))
        end
        GC.enable(true)
        ended = Ref{Cint}(-1)
        @test ccall(:waitpid, Cint, (Cint, Ref{Cint}, Cint), child, ended, 0) == child
        @test ended[] == 0
        @test A == [1, 2, 3]
        @test trylock(open) && unlock(open) === nothing
        foreach(unlock, (mutex, recursive, writing(rwlock)))
        @test outcome(() -> unlock(mutex)) === :not_held
    end
else
    skip("forks: what a child inherits is its parent's", "this Julia has threads that a forked child loses")
end
