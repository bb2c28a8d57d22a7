//! What is a loop to the reader but must not be one to the CPU.

/// Executes a block for each of some literals, as a constant.
macro_rules! unroll {
    ($i:ident in $($n:literal)* => $body:block) => { $( { const $i: usize = $n; $body } )* };
}
pub(super) use unroll;
