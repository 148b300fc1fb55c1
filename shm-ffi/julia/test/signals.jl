# Semaphores, events, barriers and conditions between processes.

test("signals: semaphore") do name
    s = create(SegmentSemaphore, name, 2)
    @test available(s) == 2
    Base.acquire(s)
    @test Base.acquire(() -> available(attach(SegmentSemaphore, name)), s) == 0
    @test available(s) == 1
    Base.acquire(s; timeout = 1)
    @test status(() -> Base.acquire(s; timeout = 0.01)) === :timed_out
    process = in_process("s = attach(SegmentSemaphore, \"$name\"); println(available(s)); Base.release(s, 3)"; wait = false)
    @test readline(process) == "0"
    Base.acquire(s)
    wait(process)
    @test available(s) == 2
    @test_throws ArgumentError Base.release(s, -1)
    @test_throws ArgumentError create(SegmentSemaphore, name, -1)
    @test status(() -> Base.release(s, typemax(UInt32))) in (:overflow, :invalid_argument)
    @test close(s) === nothing && status(() -> Base.acquire(s)) === :invalid_handle
end

test("signals: event") do name
    e = create(SegmentEvent, name)
    @test !isset(e) && status(() -> wait(e; timeout = 0.01)) === :timed_out
    process = in_process("e = attach(SegmentEvent, \"$name\"); println(\"ready\"); wait(e); println(isset(e))"; wait = false)
    @test readline(process) == "ready"
    notify(e)
    @test readline(process) == "true"
    wait(process)
    @test wait(e) === nothing && isset(e)
    reset(e)
    @test !isset(e)
    @async (sleep(0.05); notify(e))
    @test wait(e; timeout = 60) === nothing
    @test isset(create(SegmentEvent, nothing, true))
end

"Waits until somebody has arrived at a barrier."
function until_one_waits(b)
    while SharedSegments.state(b).arrived == 0
        sleep(0.01)
    end
end

test("signals: barrier") do name
    b = create(SegmentBarrier, name, 2)
    script = "b = attach(SegmentBarrier, \"$name\"); a = wait(b); wait(b); print(a.seat, a.last)"
    process = in_process(script; wait = false)
    mine = wait(b)
    wait(b)
    other = read(process, String)
    @test sort(["$(mine.seat)$(mine.last)", other]) in (["1true", "2false"], ["1false", "2true"])
    @test status(() -> wait(b; timeout = 0.01)) === :timed_out
    @test SharedSegments.state(b) == (parties = 2, arrived = 0, broken = false)
    SharedSegments.abort(b)
    @test status(() -> wait(b)) === :broken
    reset(b)
    process = in_process("wait(attach(SegmentBarrier, \"$name\"))"; wait = false)
    until_one_waits(b)
    kill(process, 9)
    wait(process)
    @test status(() -> wait(b; timeout = 60)) === :broken
    @test_throws ArgumentError create(SegmentBarrier, nothing, -1)
end

test("signals: threads at a barrier do not stop the collector") do _
    told = in_process("""
        b = create(SegmentBarrier, nothing, 2)
        rounds = zeros(Int, 2)
        Threads.@threads for part in 1:2
            for _ in 1:200
                sum(rand(1000))
                part == 1 && GC.gc(false)
                wait(b)
                rounds[part] += 1
            end
        end
        print(rounds)
        """; threads = 2)
    @test told == "[200, 200]"
end

test("signals: Ctrl-C at a barrier") do name
    b = create(SegmentBarrier, name, 2)
    process = in_process("""
        ccall(:jl_exit_on_sigint, Cvoid, (Cint,), 0)
        b = attach(SegmentBarrier, "$name")
        try
            wait(b)
        catch problem
            println(typeof(problem))
        end
        """; wait = false)
    until_one_waits(b)
    kill(process, 2)
    @test readline(process) == "InterruptException"
    wait(process)
    @test SharedSegments.state(b) == (parties = 2, arrived = 0, broken = false)
end

test("signals: condition") do name
    A = create(SegmentArray{Int}, name, (1,))
    m, c = create(SegmentMutex, name * "-mutex"), create(SegmentCondition, name * "-condition")
    process = in_process("""
        A, m, c = attach(SegmentArray{Int, 1}, "$name"), attach(SegmentMutex, "$name-mutex"), attach(SegmentCondition, "$name-condition")
        println("ready")
        lock(m) do
            while A[1] == 0
                wait(c, m)
            end
            A[1] += 1
            notify(c)
        end
        """; wait = false)
    @test readline(process) == "ready"
    lock(m) do
        A[1] = 1
        notify(c; all = false)
        while A[1] == 1
            wait(c, m)
        end
        @test A[1] == 2
        @test status(() -> wait(c, m; timeout = 0.01)) === :timed_out
    end
    @test status(() -> wait(c, m)) === :not_held
    wait(process)
    foreach(delete, (name * "-mutex", name * "-condition"))
end
