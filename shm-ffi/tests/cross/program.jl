# Julia's program for the cross-language tests: does what each line of standard input says, and answers with one line.
#
# The words, and the formula for the values, are the same in all languages; `driver.rs` describes them. Arrays are attached with
# `permute = true`, so that their indices are in the same order as elsewhere.

using SharedSegments

const PATIENCE = 30.0
const TYPES = Dict("u8" => UInt8, "i32" => Int32, "i64" => Int64, "f32" => Float32, "f64" => Float64, "c128" => ComplexF64)
const KINDS = Dict("mutex" => SegmentMutex, "process-mutex" => SegmentLock, "barrier" => SegmentBarrier)
const held = Dict{String, Any}()

value(::Type{UInt8}, n) = UInt8(n)
value(::Type{Int32}, n) = Int32((n - 50) * 1000003)
value(::Type{Int64}, n) = (n - 50) * 1000000000000037
value(T::Type{<:AbstractFloat}, n) = T(n - 50) / T(7)
value(::Type{ComplexF64}, n) = Complex((n - 50) / 7, n / 11)

# The place of an element where the last index runs fastest, whatever the order of the memory.
place(index, dims) = foldl((sum, k) -> sum * dims[k] + index[k] - 1, 1:length(dims); init = 0)
value_at(T, index, dims, salt) = value(T, mod(7 * place(index, dims) + 13 * salt, 101) + 3)

dims_of(text) = Tuple(parse.(Int, split(text, "x")))

attached(name) = get!(() -> attach(SegmentArray, name; permute = true), held, name)

function create_array(name, type, order, shape, salt)
    dims = dims_of(shape)
    # `order = :C` shows others the dimensions in reverse.
    create(SegmentArray{TYPES[type]}, name, order == "C" ? reverse(dims) : dims; order = Symbol(order))
    return write_array(name, type, salt)
end

function write_array(name, type, salt)
    array = attached(name)
    for index in CartesianIndices(array)
        array[index] = value_at(TYPES[type], index, size(array), parse(Int, salt))
    end
end

function check_array(name, type, order, shape, salt)
    array = attached(name)
    dims = dims_of(shape)
    size(array) == dims || error("the shape is $(size(array))")
    eltype(array) === TYPES[type] || error("the type is $(eltype(array))")
    expected = order == "F" ? cumprod([1; collect(dims[1:(end - 1)])]) : reverse(cumprod([1; reverse(collect(dims[2:end]))]))
    collect(strides(array)) == expected || error("the strides are $(strides(array)) elements, and not $expected")
    for index in CartesianIndices(array)
        right = value_at(TYPES[type], index, dims, parse(Int, salt))
        array[index] === right || error("the element $(Tuple(index)) is $(array[index]), and not $right")
    end
end

found(kind, name) = get!(() -> attach(KINDS[kind], name), held, name)

function make(kind, name, parties...)
    held[name] = create(KINDS[kind], name, parse.(Int, parties)...)
end

function attempt(kind, name)
    one = found(kind, name)
    trylock(one) || return "busy"
    unlock(one)
    return "free"
end

function lock_once(kind, name)
    one, state = found(kind, name), "free"
    lock(one; timeout = PATIENCE, recover = () -> (state = "owner-died"))
    unlock(one)
    return state
end

const WORDS = Dict(
    "create" => create_array, "write" => write_array, "check" => check_array, "make" => make, "try" => attempt, "lock" => lock_once,
    "hold" => (kind, name) -> lock(found(kind, name); timeout = PATIENCE),
    "release" => (kind, name) -> unlock(found(kind, name)),
    "wait" => name -> wait(found("barrier", name); timeout = PATIENCE),
    "close" => name -> haskey(held, name) && close(pop!(held, name)),
)

for line in eachline(stdin)
    words = String.(split(line))
    answer = try
        said = WORDS[words[1]](words[2:end]...)
        said isa String ? "= $said" : "= done"
    catch problem
        "! " * replace(sprint(showerror, problem), "\n" => " ")
    end
    println(answer)
    flush(stdout)
end
