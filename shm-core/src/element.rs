//! placeholder until the element types are merged
#![allow(unsafe_code, missing_docs)]
use crate::layout::ElementType;
pub unsafe trait Element: bytemuck::Pod + Send + Sync {
    fn element_type() -> ElementType;
}
macro_rules! e { ($($t:ty, $e:expr);*) => { $( unsafe impl Element for $t { fn element_type() -> ElementType { $e } } )* } }
e!(f64, ElementType::F64; f32, ElementType::F32; u8, ElementType::U8; i8, ElementType::I8; i16, ElementType::I16; i32, ElementType::I32; i64, ElementType::I64; u64, ElementType::U64; u32, ElementType::U32);
