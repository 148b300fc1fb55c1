//! How a result becomes bytes and comes back: serialised (postcard), or, where any bytes are a value, as it is.

use bytemuck::Pod;
use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a worker can send.
pub(crate) trait Pack {
    /// Appends it to a buffer. After an error what was appended is to be dropped.
    fn pack(&self, to: &mut Vec<u8>) -> postcard::Result<()>;
}

/// What the master can take in.
pub(crate) trait Unpack: Sized {
    /// Takes one off the front; also returns what is behind it.
    fn unpack(bytes: &[u8]) -> postcard::Result<(Self, &[u8])>;
}

impl<R: Serialize> Pack for R {
    #[inline]
    fn pack(&self, to: &mut Vec<u8>) -> postcard::Result<()> {
        postcard::serialize_with_flavor(self, Append(to))
    }
}

impl<R: DeserializeOwned> Unpack for R {
    #[inline]
    fn unpack(bytes: &[u8]) -> postcard::Result<(R, &[u8])> {
        postcard::take_from_bytes(bytes)
    }
}

/// A result that travels as the bytes that it is.
pub(crate) struct Plain<R>(pub(crate) R);

impl<R: Pod> Pack for Plain<R> {
    #[inline]
    fn pack(&self, to: &mut Vec<u8>) -> postcard::Result<()> {
        to.extend_from_slice(bytemuck::bytes_of(&self.0));
        Ok(())
    }
}

impl<R: Pod> Unpack for Plain<R> {
    #[inline]
    fn unpack(bytes: &[u8]) -> postcard::Result<(Plain<R>, &[u8])> {
        let (result, behind) =
            bytes.split_at_checked(size_of::<R>()).ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        Ok((Plain(bytemuck::pod_read_unaligned(result)), behind))
    }
}

/// Serialises behind what a buffer holds.
struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    #[inline(always)]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline(always)]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        // Numbers are a few bytes long; a copy of a length that is only known now costs more than they do.
        match *bytes {
            [a] => self.0.push(a),
            [a, b] => self.0.extend_from_slice(&[a, b]),
            [a, b, c] => self.0.extend_from_slice(&[a, b, c]),
            [a, b, c, d] => self.0.extend_from_slice(&[a, b, c, d]),
            [a, b, c, d, e] => self.0.extend_from_slice(&[a, b, c, d, e]),
            [a, b, c, d, e, f, g, h] => self.0.extend_from_slice(&[a, b, c, d, e, f, g, h]),
            _ => self.0.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_come_back_whatever_their_alignment() {
        let mut bytes = vec![7]; // so that nothing is aligned
        for i in 0..100u8 {
            Plain(u128::from(i) << 99).pack(&mut bytes).unwrap();
            Plain([i, 1, 2]).pack(&mut bytes).unwrap();
            Plain(()).pack(&mut bytes).unwrap();
        }
        let mut rest = &bytes[1..];
        for i in 0..100u8 {
            let (wide, behind) = Plain::<u128>::unpack(rest).unwrap();
            let (odd, behind) = Plain::<[u8; 3]>::unpack(behind).unwrap();
            rest = Plain::<()>::unpack(behind).unwrap().1;
            assert_eq!((wide.0, odd.0), (u128::from(i) << 99, [i, 1, 2]));
        }
        assert!(rest.is_empty());
        assert!(Plain::<u8>::unpack(rest).is_err());
    }
}
