# Locks: between tasks, threads and processes; death, timeouts and Ctrl-C.

using SharedSegments: repair

"A process of Julia's that runs `script` and waits until it is killed. Returns when it has printed a line."
function holder(script)
    process = in_process(script * "\nprintln(\"ready\"); flush(stdout); sleep(1000)"; wait = false)
    @test readline(process) == "ready"
    return process
end

function kill_(process)
    kill(process, 9)
    wait(process)
end

for kind in (SegmentLock, SegmentMutex)
    test("locks: $kind locks and unlocks") do name
        l = create(kind, name)
        @test l isa Base.AbstractLock
        @test lock(() -> 5, l) == 5
        @test trylock(l)
        unlock(l)
        @test status(() -> unlock(l)) === :not_held
        @test_throws ErrorException lock(() -> error("in the middle"), l)
        @test trylock(l)
        unlock(l)
        m = create_or_attach(kind, name)
        lock(m)
        @test !trylock(l) && !trylock(l; timeout = 0.01)
        @test status(() -> lock(l; timeout = 0.01)) === :timed_out
        @test_throws ArgumentError lock(l; timeout = -1)
        unlock(m)
        lock(l; timeout = 0)
        unlock(l)
        close(m)
        @test close(m) === nothing && !isopen(m)
        @test status(() -> lock(m)) === :invalid_handle
        @test status(() -> unlock(m)) === :invalid_handle
        @test occursin("closed", sprint(show, m)) && occursin(name, sprint(show, l))
        @test status(() -> create(kind, name)) === :already_exists
        @test status(() -> attach(SegmentArray, name)) === :no_such_entry
        @test status(() -> attach(SegmentSemaphore, name)) === :mismatch
        @test create(l -> lock(() -> 7, l), kind, nothing) == 7
    end

    test("locks: $kind excludes other processes") do name
        A = create(SegmentArray{Int}, name, (2,))
        guard = create(kind, name * "-lock")
        script = """
            A, guard = attach(SegmentArray{Int, 1}, "$name"), attach($kind, "$name-lock")
            for _ in 1:20_000
                lock(guard) do
                    A[1] += 1
                end
            end
            """
        others = [in_process(script * "println(\"done\")"; wait = false) for _ in 1:2]
        for _ in 1:20_000
            lock(guard) do
                A[1] += 1
            end
        end
        @test all(process -> readline(process) == "done", others)
        foreach(wait, others)
        @test A[1] == 60_000
        delete(name * "-lock")
    end

    test("locks: $kind tells of a dead holder") do name
        l = create(kind, name)
        kill_(holder("lock(attach($kind, \"$name\"))"))
        problem = failure(() -> lock(l))
        @test problem.status === :owner_died && occursin("repair", problem.text)
        @test status(() -> lock(l)) === :poisoned
        @test status(() -> trylock(l)) === :poisoned
        @test_throws ErrorException repair(() -> error("not mended"), l)
        @test status(() -> lock(l)) === :poisoned
        mended = Ref(0)
        repair(() -> mended[] += 1, l)
        @test mended[] == 1 && lock(() -> true, l)

        kill_(holder("lock(attach($kind, \"$name\"))"))
        lock(l; recover = () -> mended[] += 1)
        @test mended[] == 2
        unlock(l)
        @test lock(() -> true, l; recover = () -> mended[] += 1) && mended[] == 2

        kill_(holder("lock(attach($kind, \"$name\"))"))
        @test_throws ErrorException trylock(l; recover = () -> error("not mended"))
        @test status(() -> lock(l)) === :poisoned
    end

    test("locks: $kind excludes tasks of one thread, which go on") do _
        l = create(kind, nothing)
        inside, most, sum = 0, 0, 0
        @sync for task in 1:8
            @async for _ in 1:20
                lock(l) do
                    inside += 1
                    most = max(most, inside)
                    yield()
                    inside -= 1
                    sum += 1
                end
            end
        end
        @test most == 1 && sum == 160
    end

    test("locks: $kind excludes threads, and the collector goes on") do name
        told = in_process("""
            l = create($kind, nothing)
            count, inside, most = Ref(0), Ref(0), Ref(0)
            Threads.@threads for part in 1:4
                for i in 1:300
                    lock(l) do
                        inside[] += 1
                        most[] = max(most[], inside[])
                        sum(rand(1000))
                        i % 50 == 0 && GC.gc(false)
                        inside[] -= 1
                        count[] += 1
                    end
                end
            end
            print(count[], " ", most[])
            """; threads = 4)
        @test told == "1200 1"
    end

    test("locks: Ctrl-C ends the wait for a $kind") do name
        l = create(kind, name)
        lock(l)
        process = in_process("""
            ccall(:jl_exit_on_sigint, Cvoid, (Cint,), 0)
            l = attach($kind, "$name")
            try
                println("ready"); flush(stdout)
                lock(l)
            catch problem
                println(typeof(problem))
            end
            println(trylock(l))
            """; wait = false)
        @test readline(process) == "ready"
        sleep(0.2)
        kill(process, 2)
        @test readline(process) == "InterruptException"
        @test readline(process) == "false"
        wait(process)
        unlock(l)
    end
end

test("locks: a SegmentLock may be given up by another task or process") do name
    l = create(SegmentLock, name)
    lock(l)
    fetch(@async unlock(l))
    lock(l)
    in_process("unlock(attach(SegmentLock, \"$name\"))")
    @test trylock(l)
    unlock(l)
end

test("locks: a SegmentMutex is not reentrant, and says so") do _
    l = create(SegmentMutex, nothing)
    lock(l)
    @test status(() -> lock(l)) === :deadlock
    @test status(() -> close(l)) === :lock_held
    unlock(l)
    close(l)
end

test("locks: many read, one writes") do name
    l = create(SegmentRWLock, name)
    m = attach(SegmentRWLock, name)
    lock(reading(l)) do
        @test trylock(reading(m))
        unlock(reading(m))
        @test in_process("l = attach(SegmentRWLock, \"$name\"); print(trylock(writing(l)), trylock(reading(l)))") == "falsetrue"
    end
    lock(writing(l)) do
        @test in_process("l = attach(SegmentRWLock, \"$name\"); print(trylock(reading(l)), trylock(writing(l); timeout = 0.02))") == "falsefalse"
    end
    kill_(holder("lock(reading(attach(SegmentRWLock, \"$name\")))"))
    @test lock(() -> true, writing(l))
    kill_(holder("lock(writing(attach(SegmentRWLock, \"$name\")))"))
    @test status(() -> lock(reading(l))) === :owner_died
    repair(() -> nothing, writing(l))
    @test lock(() -> true, reading(l))
end

test("locks: tasks of one thread read and write in turn") do _
    l = create(SegmentRWLock, nothing)
    lock(writing(l))
    @test status(() -> lock(reading(l))) === :deadlock && status(() -> lock(writing(l))) === :deadlock
    @test fetch(@async trylock(reading(l))) == false
    @test fetch(@async status(() -> lock(reading(l); timeout = 0.01))) === :timed_out
    @test fetch(@async status(() -> unlock(writing(l)))) === :not_held
    done = Ref(0)
    readers = [@async lock(() -> done[] += 1, reading(l)) for _ in 1:3]
    yield()
    @test done[] == 0
    unlock(writing(l))
    foreach(wait, readers)
    @test done[] == 3
    inside, most, sum_ = 0, 0, 0
    @sync for task in 1:8
        @async for round in 1:10
            lock(iseven(task) ? reading(l) : writing(l)) do
                if isodd(task)
                    inside += 1
                    most = max(most, inside)
                    yield()
                    inside -= 1
                else
                    @test inside == 0
                    yield()
                    @test inside == 0
                end
                sum_ += 1
            end
        end
    end
    @test most == 1 && sum_ == 80
    @test status(() -> unlock(reading(l))) === :not_held
end
