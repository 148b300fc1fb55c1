# Segments from outside.

test("names: delete leaves the attached alone") do name
    A = create(SegmentArray{Int}, name, (3,))
    delete(name)
    @test status(() -> attach(SegmentArray, name)) === :not_found
    A .= 1
    @test sum(A) == 3
    @test status(() -> delete(name)) === :not_found
    create(SegmentArray{Int}, name, (4,))
    @test size(attach(SegmentArray, name)) == (4,)
end

test("names: delete removes nothing else") do name
    write("/dev/shm/$name", "no segment")
    @test status(() -> delete(name)) === :not_a_segment
    @test ispath("/dev/shm/$name")
end

test("names: inspect") do name
    A = create(SegmentArray{Float64}, name, (1000,); lifetime = :last_detach, mode = 0o640)
    info = SharedSegments.inspect(name)
    @test info.name == "shm://$name" && info.kind === :array && info.entries == 1
    @test info.lifetime === :last_detach && info.attached && info.mode == 0o640 && info.creator == getpid() && info.creator_alive === true
    @test info.length >= 8000 && info.capacity >= info.length && info.leased_by === nothing && info.remark == ""
    @test abs(info.created_at - time()) < 1000 && info.owner == ccall(:getuid, Cuint, ())
    @test occursin(name, sprint(show, info))
    @test status(() -> SharedSegments.inspect(unique_name())) === :not_found
end

test("names: list and reap") do name
    create(SegmentArray{Int8}, name, (3,); lifetime = :last_detach) do A
        @test name in [replace(info.name, "shm://" => "") for info in SharedSegments.list()]
    end
    @test SharedSegments.reap() >= 0
    @test !ispath("/dev/shm/$name")
    folder = mktempdir()
    for file in ("b", "a")
        close(create(SegmentArray{Int8}, "file://$folder/$file", (3,)))
    end
    @test [info.name for info in SharedSegments.list(folder)] == ["file://$folder/a", "file://$folder/b"]
    @test SharedSegments.reap(folder) == 0
    @test status(() -> SharedSegments.list("/no/such/folder")) === :system
end

test("names: a killed process leaves nothing with :last_detach") do name
    process = in_process("""
        A = create(SegmentArray{Int}, "$name", (3,); lifetime = :last_detach)
        println("ready"); flush(stdout); readline()
        """; wait = false)
    @test readline(process) == "ready"
    @test SharedSegments.inspect(name).attached
    kill(process, 9)
    wait(process)
    @test status(() -> attach(SegmentArray, name)) === :not_found
    @test SharedSegments.reap() >= 0 && !ispath("/dev/shm/$name")
end

test("names: create_or_attach") do name
    A = create_or_attach(SegmentArray{Int}, name, (2, 3))
    A .= 4
    B = create_or_attach(SegmentArray{Int}, name, 2, 3)
    @test B == A && sum(B) == 24
    @test status(() -> create_or_attach(SegmentArray{Float64}, name, (2, 3))) === :type_mismatch
    @test status(() -> create_or_attach(SegmentArray{Int}, name, (3, 2))) === :shape_mismatch
    @test status(() -> create_or_attach(SegmentArray{Int}, name, (2, 3); order = :C)) === :shape_mismatch
    @test create_or_attach(sum, SegmentArray{Int}, name, (2, 3)) == 24
end
