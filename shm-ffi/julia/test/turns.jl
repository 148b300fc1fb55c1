# What is done once, counted down, done in turn, sent; bounded permits and recursive locks.

test("turns: once") do name
    o = create(SegmentOnce, name)
    calls = Ref(0)
    @test !SharedSegments.isdone(o)
    @test once(() -> calls[] += 1, o) && !once(() -> calls[] += 1, o) && calls[] == 1
    @test SharedSegments.isdone(attach(SegmentOnce, name))
    @test in_process("print(once(() -> print(\"never\"), attach(SegmentOnce, \"$name\")))") == "false"
    p = create(SegmentOnce, nothing)
    @test_throws ErrorException once(() -> error("half-way"), p)
    @test status(() -> once(() -> nothing, p)) === :runner_died
    @test once(died -> calls[] = died ? 10 : 0, p; force = true) && calls[] == 10
    @test !once(died -> calls[] = 0, p; force = true)
    # Whoever comes while somebody is at it waits, and lets that one go on.
    q = create(SegmentOnce, nothing)
    first_ = @async once(() -> sleep(0.05), q)
    yield()
    @test status(() -> once(() -> nothing, q; timeout = 0.001)) === :timed_out
    second = @async once(() -> error("it is done"), q)
    @test fetch(first_) && !fetch(second)
    inner = create(SegmentOnce, nothing)
    @test once(() -> @test(status(() -> once(() -> nothing, inner)) === :deadlock), inner)
    process = in_process("""
        o = create(SegmentOnce, "$name-slow")
        once(o) do
            println("ready"); flush(stdout); readline()
        end
        """; wait = false)
    @test readline(process) == "ready"
    s = attach(SegmentOnce, name * "-slow")
    @test status(() -> once(() -> nothing, s; timeout = 0.01)) === :timed_out
    kill(process, 9)
    wait(process)
    @test status(() -> once(() -> nothing, s)) === :runner_died
    @test once(died -> @test(died), s; force = true)
    delete(name * "-slow")
    @test close(q) === nothing && status(() -> once(() -> nothing, q)) === :invalid_handle
end

test("turns: latch") do name
    l = create(SegmentLatch, name, 3)
    @test remaining(l) == 3
    countdown(l)
    process = in_process("l = attach(SegmentLatch, \"$name\"); countdown(l); println(remaining(l)); wait(l); println(\"open\")"; wait = false)
    @test readline(process) == "1"
    @test status(() -> wait(l; timeout = 0.01)) === :timed_out
    countdown(l)
    @test wait(l) === nothing && readline(process) == "open" && remaining(l) == 0
    wait(process)
    @test status(() -> countdown(l)) === :overflow
    @test_throws ArgumentError countdown(l, -1)
    @test_throws ArgumentError create(SegmentLatch, nothing, -1)
end

test("turns: bounded semaphore") do name
    s = create(SegmentBoundedSemaphore, name, 2)
    @test SharedSegments.bound(s) == 2 && available(s) == 2
    @test Base.acquire(() -> available(attach(SegmentBoundedSemaphore, name)), s) == 1
    @test status(() -> Base.release(s)) === :overflow
    Base.acquire(s)
    Base.acquire(s; timeout = 1)
    @test status(() -> Base.acquire(s; timeout = 0.01)) === :timed_out
    Base.release(s, 2)
    @test status(() -> attach(SegmentSemaphore, name)) === :mismatch
end

test("turns: recursive mutex") do name
    l = create(SegmentRecursiveMutex, name)
    @test l isa Base.AbstractLock
    lock(l)
    @test lock(() -> lock(() -> 5, l), l) == 5 && trylock(l)
    @test in_process("l = attach(SegmentRecursiveMutex, \"$name\"); print(trylock(l), trylock(l; timeout = 0.01))") == "falsefalse"
    # Another task of the thread waits, though the thread has it.
    done = Ref(false)
    other = @async (lock(l); done[] = true; unlock(l))
    yield()
    @test !done[] && fetch(@async trylock(l)) == false
    @test fetch(@async status(() -> unlock(l))) === :not_held
    unlock(l)
    yield()
    @test !done[]
    unlock(l)
    wait(other)
    @test done[] && status(() -> unlock(l)) === :not_held
    process = in_process("lock(attach(SegmentRecursiveMutex, \"$name\")); println(\"ready\"); flush(stdout); readline()"; wait = false)
    @test readline(process) == "ready"
    kill(process, 9)
    wait(process)
    @test status(() -> lock(l)) === :owner_died && status(() -> lock(l)) === :poisoned
    SharedSegments.repair(() -> nothing, l)
    lock(l) do
        @test trylock(l)
        unlock(l)
    end
    told = in_process("""
        l = create(SegmentRecursiveMutex, nothing)
        count, inside, most = Ref(0), Ref(0), Ref(0)
        Threads.@threads for part in 1:4
            for i in 1:200
                lock(l); lock(l)
                inside[] += 1
                most[] = max(most[], inside[])
                i % 50 == 0 && GC.gc(false)
                inside[] -= 1
                count[] += 1
                unlock(l); unlock(l)
            end
        end
        print(count[], " ", most[])
        """; threads = 4)
    @test told == "800 1"
end

test("turns: sequencer") do name
    s = create(SegmentSequencer, name, 5)
    @test SharedSegments.state(s) == (current = 5, broken = false)
    @test turn(() -> SharedSegments.state(s).current, s, 5) == 5
    @test status(() -> turn(() -> 0, s, 7; timeout = 0.01)) === :timed_out
    @test status(() -> turn(() -> 0, s, 5)) === :invalid_argument
    order = Int[]
    @sync for n in [8, 6, 9, 7]
        @async turn(s, n) do
            yield()
            push!(order, n)
        end
    end
    @test order == 6:9
    @test_throws ErrorException turn(() -> error("in the middle"), s, 10)
    SharedSegments.skip(s, 11)
    process = in_process("turn(attach(SegmentSequencer, \"$name\"), 12) do\nprintln(\"ready\"); flush(stdout); readline()\nend"; wait = false)
    @test readline(process) == "ready"
    kill(process, 9)
    wait(process)
    @test status(() -> turn(() -> 0, s, 13)) === :broken && SharedSegments.state(s).broken
    @test turn(() -> "mended", s, 12; recover = true) == "mended"
    @test turn(() -> 1, s, 13) == 1
    reset(s, 3)
    @test turn(() -> 2, s, 3; timeout = 1) == 2
    @test_throws ArgumentError turn(() -> 0, s, -1)
end

test("turns: channel") do name
    c = create(SegmentChannel, name, 200)
    @test !isready(c) && status(() -> take!(c; timeout = 0.01)) === :timed_out
    put!(c, "one")
    put!(c, UInt8[1, 2, 3])
    put!(c, "")
    put!(c, view(UInt8[9, 8, 7], 1:2:3))
    @test isready(c) && SharedSegments.state(c) == (messages = 4, capacity = 200, shut = false)
    @test String(take!(c)) == "one" && take!(c) == [1, 2, 3] && isempty(take!(c)) && take!(c) == [9, 7]
    @test status(() -> put!(c, "x"^201)) === :invalid_argument
    process = in_process("""
        c = attach(SegmentChannel, "$name")
        for i in 1:500
            put!(c, string(i))
        end
        print(SharedSegments.shut(c))
        """; wait = false)
    sum_ = 0
    for message in c
        sum_ += parse(Int, String(message))
    end
    @test sum_ == 500 * 501 ÷ 2 && read(process, String) == "true"
    wait(process)
    @test status(() -> take!(c)) === :closed && status(() -> put!(c, "late")) === :closed && !SharedSegments.shut(c)
    d = create(SegmentChannel, nothing, 8)
    put!(d, "12345678")
    @test status(() -> put!(d, "9"; timeout = 0.01)) === :timed_out
    sender = @async put!(d, "9")
    yield()
    @test String(take!(d)) == "12345678" && String(take!(d)) == "9"
    wait(sender)
    @test close(d) === nothing && status(() -> take!(d)) === :invalid_handle
    @test_throws ArgumentError create(SegmentChannel, nothing, -1)
    @test status(() -> create(SegmentChannel, nothing, 0)) === :invalid_argument
end
