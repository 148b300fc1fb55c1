# Where the library is looked for, and what is said when it is not there.

using SharedSegments: candidates, load_library

test("library: the variable alone counts when it is set") do _
    @test first.(candidates(Dict("SHM_LIBRARY" => "/x/libshm.so"), "/w/shm-ffi/julia")) == ["/x/libshm.so"]
end

test("library: the work tree comes before the loader") do _
    folder = mktempdir()
    target = mkpath(joinpath(folder, "target", "debug"))
    touch(joinpath(target, "libshm.so"))
    places = first.(candidates(Dict{String, String}(), joinpath(folder, "shm-ffi", "julia")))
    @test places == [joinpath(target, "libshm.so"), joinpath(folder, "target", "release", "libshm.so"), "libshm.so.0"]
    places = first.(candidates(Dict("CARGO_TARGET_DIR" => "/t"), "/w/shm-ffi/julia"))
    @test sort(places) == ["/t/debug/libshm.so", "/t/release/libshm.so", "libshm.so.0"]
end

test("library: the error says what was tried") do _
    problem = try
        load_library([("/no/such/libshm.so", "somewhere"), ("/dev/null", "elsewhere")])
    catch problem
        problem
    end
    text = sprint(showerror, problem)
    @test occursin("/no/such/libshm.so (somewhere)", text)
    @test occursin("/dev/null (elsewhere)", text)
    @test occursin("cargo build", text) && occursin("SHM_LIBRARY", text)
end

test("library: a wrong variable is said when the package is loaded") do _
    script = "using SharedSegments"
    command = `$(Base.julia_cmd()) --startup-file=no --project=$PACKAGE -e $script`
    told = IOBuffer()
    process = run(pipeline(ignorestatus(setenv(command, merge(Dict(ENV), Dict("SHM_LIBRARY" => "/no/such.so")))); stderr = told))
    @test !success(process)
    @test occursin("/no/such.so (the environment variable SHM_LIBRARY)", String(take!(told)))
end
