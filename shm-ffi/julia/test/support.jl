# What all tests share: tests that are chosen by name, names that are removed whatever happens, a limit for what hangs, and the result in the form that
# `cargo xtask test` adds up.

using Test
using SharedSegments
using SharedSegments: delete

"Only tests whose name contains this are run."
const ONLY = isempty(ARGS) ? "" : ARGS[1]
const MARK = "shm-jl-$(getpid())-"
const made = Ref(0)
const PACKAGE = dirname(@__DIR__)
const results = (passed = String[], failed = String[], skipped = String[])

"A name that nobody has."
unique_name() = string(MARK, made[] += 1)

"What this process has left in `/dev/shm`."
leftovers() = filter(name -> startswith(name, MARK), readdir("/dev/shm"))

"Says that a test cannot run here, and why."
skip(name, why) = occursin(ONLY, name) && (println("skipped: $name: $why"); push!(results.skipped, name))

"""
One test. `work` gets a name for a segment; after it nothing may be left in `/dev/shm` but what that name leads to, which is removed. A test that hangs ends
the process: the alarm's signal is not handled.
"""
function test(work, name)
    occursin(ONLY, name) || return
    ccall(:alarm, Cuint, (Cuint,), 120)
    set = Test.DefaultTestSet(name)
    Test.push_testset(set)
    segment = unique_name()
    try
        work(segment)
        GC.gc()
    catch problem
        Test.record(set, Test.Error(:nontest_error, Expr(:tuple), problem, Base.catch_stack(), LineNumberNode(0)))
    finally
        Test.pop_testset()
        ispath("/dev/shm/$segment") && rm("/dev/shm/$segment")
    end
    left = leftovers()
    foreach(file -> rm("/dev/shm/$file"), left)
    ccall(:alarm, Cuint, (Cuint,), 0)
    sound = isempty(left) && !any(result -> result isa Union{Test.Fail, Test.Error}, set.results)
    isempty(left) || println("$name: left behind in /dev/shm: $left")
    println("test $name ... ", sound ? "ok" : "FAILED", " ($(set.n_passed) checks)")
    push!(sound ? results.passed : results.failed, name)
end

"The error that `work` throws; a failed test if there is none."
function failure(work)
    try
        work()
    catch problem
        problem isa SegmentError && return problem
        rethrow()
    end
    error("it should have failed")
end

"The status of the error that `work` throws."
status(work) = failure(work).status

"Runs a script in another process of Julia, with the package and `unique` names as here; returns what it printed."
function in_process(script; threads = 1, wait = true)
    command = `$(Base.julia_cmd()) --startup-file=no --project=$PACKAGE -e $("using SharedSegments\n" * script)`
    command = setenv(command, merge(Dict(ENV), Dict("JULIA_NUM_THREADS" => string(threads))))
    return wait ? read(command, String) : open(pipeline(command; stderr = stderr), "r+")
end

function finish()
    passed, failed, skipped = length.(values(results))
    foreach(name -> println("failed: $name"), results.failed)
    println("test result: $(failed == 0 ? "ok" : "FAILED"). $passed passed; $failed failed; $skipped ignored; 0 measured; 0 filtered out")
    exit(failed == 0 ? 0 : 1)
end
