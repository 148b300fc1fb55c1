# Finds `libshm.so` and loads it. The calls themselves are made by the library's soname, which the loader then knows.

using Libdl: dlopen, dlpath

"The name by which the calls name the library: its soname. The loader matches it with what `load_library` has loaded."
const SONAME = "libshm.so.0"

"The environment variable that names the library, a file."
const VARIABLE = "SHM_LIBRARY"

"Where the library was found; empty before it was."
const FOUND = Ref("")

"""
    SharedSegments.library()

The path of the `libshm.so` that is in use. It is looked for when the package is loaded: in the environment variable `SHM_LIBRARY` (and nowhere else if that
is set), then in the work tree that the package is in (`target/release` and `target/debug`, the newer one), then where the loader looks.
"""
library() = FOUND[]

"The places to try, best first, each with words for people."
function candidates(environment = ENV, package = dirname(@__DIR__))
    named = get(environment, VARIABLE, "")
    isempty(named) || return [(named, "the environment variable $VARIABLE")]
    target = get(environment, "CARGO_TARGET_DIR", joinpath(dirname(dirname(package)), "target"))
    built = [joinpath(target, profile, "libshm.so") for profile in ("release", "debug")]
    sort!(built; by = path -> isfile(path) ? -mtime(path) : Inf)
    return vcat([(path, "the work tree") for path in built], [(SONAME, "the loader's search path")])
end

"Loads the first library that can be loaded."
function load_library(places = candidates())
    tried = String[]
    for (path, what) in places
        try
            handle = dlopen(path)
            FOUND[] = dlpath(handle)
            return
        catch problem
            why = problem isa ErrorException ? problem.msg : sprint(showerror, problem)
            push!(tried, "  $path ($what): $why")
        end
    end
    error("libshm.so was not found. Tried:\n", join(tried, "\n"),
          "\nBuild it with `cargo build --release -p shm-ffi`, or set $VARIABLE to its path.")
end
