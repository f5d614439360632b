/** Joins the pieces of a body of `size` bytes; a single piece is not copied. */
export const joined = (pieces: ReadonlyArray<Uint8Array>, size: number): Uint8Array => {
  if (pieces.length === 1 && pieces[0] !== undefined) return pieces[0]
  const bytes = new Uint8Array(size)
  let at = 0
  for (const piece of pieces) {
    bytes.set(piece, at)
    at += piece.length
  }
  return bytes
}

export const concat = (pieces: Iterable<Uint8Array>): Uint8Array => {
  const all = Array.from(pieces)
  return joined(all, all.reduce((sum, piece) => sum + piece.length, 0))
}
