# Views and reshapes of arrays: closed with them.
#
# Each knows its size by itself, and reads its parent without a check of the parent's. So whoever asks for the size, as each check and each loop does first, is
# told here whether the parent is open.

const Segments = Union{SegmentArray, StridedSegmentArray}

"What a view or a reshape may lie on, as far as Julia nests them by itself."
const Layers{P} = Union{P, Base.ReshapedArray{<:Any, <:Any, <:P}, Base.ReinterpretArray{<:Any, <:Any, <:Any, <:P}, SubArray{<:Any, <:Any, <:P}, PermutedDimsArray{<:Any, <:Any, <:Any, <:Any, <:P}}

@inline check_open(array::Segments) = check_open(array.attachment)
@inline check_open(array::AbstractArray) = check_open(parent(array))

@inline function Base.axes(view::SubArray{<:Any, <:Any, <:Layers{Segments}})
    check_open(view)
    return invoke(axes, Tuple{SubArray}, view)
end

@inline function Base.size(reshaped::Base.ReshapedArray{<:Any, <:Any, <:Layers{Segments}})
    check_open(reshaped)
    return invoke(size, Tuple{Base.ReshapedArray}, reshaped)
end
