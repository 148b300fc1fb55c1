# What locks take from Julia. Answers lines as `src/foreign.rs` says.

using SharedSegments

function timed(work, rounds)
    for _ in 1:min(rounds, 100)  # not counted: whoever has waited begins slowly
        work()
    end
    start = time_ns()
    for _ in 1:rounds
        work()
    end
    return time_ns() - start
end

function round_of(l)
    return function ()
        lock(l)
        unlock(l)
    end
end

function main()
    operations = Dict("mutex" => round_of(create(SegmentMutex, nothing)), "process_mutex" => round_of(create(SegmentLock, nothing)))
    foreach(work -> timed(work, 1), values(operations))  # compiled
    println("ready")
    flush(stdout)
    for line in eachline(stdin)
        operation, rounds = split(line)
        println(Int(timed(operations[operation], parse(Int, rounds))))
        flush(stdout)
    end
end

main()
