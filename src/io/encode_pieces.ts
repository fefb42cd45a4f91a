/**
 * Encodes long texts piece by piece, each different piece once. That is the encoding of the whole text where the
 * pre-tokenisation of the tokenizer cuts between any two pieces.
 */

/** Text to token ids, without special tokens. */
export type Encode = (text: string) => ArrayLike<number>

/** An encoder of the pieces of a text. @param pattern matches every piece, in order; it has the flag g */
export function makePieceEncoder(encode: Encode, pattern: RegExp): (text: string) => Int32Array[] {
  const known = new Map<string, Int32Array>()
  return (text) =>
    (text.match(pattern) ?? []).map((piece) => {
      let tokens = known.get(piece)
      if (tokens === undefined) known.set(piece, (tokens = Int32Array.from(encode(piece))))
      return tokens
    })
}
