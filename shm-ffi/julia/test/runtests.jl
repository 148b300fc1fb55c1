# All tests of the package. An argument is a part of the names of those to run.

include("support.jl")

println("libshm.so: ", SharedSegments.library())

include("library.jl")
include("arrays.jl")
include("elements.jl")
include("orders.jl")
include("names.jl")
include("locks.jl")
include("signals.jl")
include("growth.jl")
include("turns.jl")
include("forks.jl")

finish()
