/**
 * BPE over pieces: of all adjacent pairs of a word that have a rank, the one of the lowest is joined, the leftmost first.
 *
 * A rank is the place in a list of merges, or follows from the scores that SentencePiece gives to pieces: every way to join two
 * pieces into a third one is a merge, the higher score first, then the longer left part, then the longer right part, as
 * transformers converts such a model. A list of them is made only if it is asked for: Gemma's has half a million.
 */

/** What merges are read from. */
interface Merging {
  readonly ids: ReadonlyMap<string, number>
  readonly merges: readonly (readonly [string, string])[] | ScoredPieces
}

/** The ranks of the merges of a vocabulary. */
export function ranksOf({ ids, merges }: Merging): RankOf {
  return 'length' in merges ? ranksOfList(merges, ids) : ranksOfScores(merges)
}

/** The merges of a vocabulary as a list, by priority. */
export function mergesOf({ merges }: Pick<Merging, 'merges'>): readonly (readonly [string, string])[] {
  return 'length' in merges ? merges : mergesOfScores(merges)
}

/** The rank of a pair; undefined for one that is not joined. */
type RankOf = (left: string, right: string) => number | undefined

/** The ranks of a list of merges. @param ids of all that the merges name */
function ranksOfList(
  merges: readonly (readonly [string, string])[],
  ids: ReadonlyMap<string, number>,
): RankOf {
  // Numbers are found faster than pairs of texts; an id is below 2^20.
  const keyOf = (left: number, right: number): number => left * 2 ** 20 + right
  const ranks = new Map<number, number>()
  for (const [rank, [left, right]] of merges.entries())
    ranks.set(keyOf(ids.get(left) as number, ids.get(right) as number), rank)
  return (left, right) => {
    const [from, to] = [ids.get(left), ids.get(right)]
    return from === undefined || to === undefined ? undefined : ranks.get(keyOf(from, to))
  }
}

/** Pieces that text can become, by their spellings, with their scores and their lengths in characters. */
export type ScoredPieces = ReadonlyMap<string, { readonly score: number; readonly length: number }>

/** The ranks that scores stand for. Lengths are below 2^13 and there are fewer than 2^20 pieces, so that a rank is a whole number. */
function ranksOfScores(pieces: ScoredPieces): RankOf {
  const scores = [...new Set([...pieces.values()].map(({ score }) => score))].toSorted((a, b) => b - a)
  const placeOf = new Map(scores.map((score, place) => [score, place]))
  return (left, right) => {
    const [from, to] = [pieces.get(left), pieces.get(right)]
    const joined = from && to && pieces.get(left + right)
    if (!joined) return undefined
    const place = placeOf.get(joined.score) as number
    return (place * 2 ** 13 + 2 ** 13 - from.length) * 2 ** 13 + 2 ** 13 - to.length
  }
}

/** The merges that scores stand for, the lowest rank first. */
function mergesOfScores(pieces: ScoredPieces): readonly (readonly [string, string])[] {
  const rankOf = ranksOfScores(pieces)
  const found: { readonly pair: readonly [string, string]; readonly rank: number }[] = []
  for (const token of pieces.keys()) {
    for (let at = 1; at < token.length; at++) {
      const pair = [token.slice(0, at), token.slice(at)] as const
      const rank = rankOf(...pair)
      if (rank !== undefined) found.push({ pair, rank })
    }
  }
  return found.toSorted((a, b) => a.rank - b.rank).map(({ pair }) => pair)
}

/** A pair that may be joined. */
interface Candidate {
  readonly rank: number
  /** Places of its parts among the characters of the word. */
  readonly left: number
  readonly right: number
  /** The ends of its parts. */
  readonly middle: number
  readonly end: number
}

/** The pieces of a word. */
export function mergePieces(word: string, rankOf: RankOf): string[] {
  /** Where each character begins, and the end. */
  const starts: number[] = []
  for (let at = 0; at < word.length; at += (word.codePointAt(at) as number) > 0xffff ? 2 : 1) starts.push(at)
  const N = starts.length
  starts.push(word.length)
  /** Of each piece that begins at a character: where the next one and the one before it begin. A piece that was joined has no next. */
  const next = Int32Array.from({ length: N }, (_, i) => i + 1)
  const before = Int32Array.from({ length: N + 1 }, (_, i) => i - 1)
  const queue = new Queue()
  const offer = (left: number): void => {
    const right = left < 0 ? N : next[left]
    if (right >= N) return
    const [middle, end] = [right, next[right]]
    const rank = rankOf(word.slice(starts[left], starts[right]), word.slice(starts[right], starts[end]))
    if (rank !== undefined) queue.add({ rank, left, right, middle, end })
  }
  for (let i = 0; i + 1 < N; i++) offer(i)
  for (let best = queue.take(); best; best = queue.take()) {
    const { left, right, middle, end } = best
    // Another merge may have taken a part of it.
    if (next[left] !== middle || next[right] !== end) continue
    next[left] = end
    before[end] = left
    next[right] = -1
    offer(before[left])
    offer(left)
  }
  const pieces: string[] = []
  for (let i = 0; i < N; i = next[i]) pieces.push(word.slice(starts[i], starts[next[i]]))
  return pieces
}

/** Candidates by rank, then from left to right: a binary heap. */
class Queue {
  readonly #heap: Candidate[] = []

  add(candidate: Candidate): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(candidate)
    for (let up = (at - 1) >> 1; at > 0 && isBefore(candidate, heap[up]); up = (at - 1) >> 1) {
      heap[at] = heap[up]
      at = up
    }
    heap[at] = candidate
  }

  take(): Candidate | undefined {
    const heap = this.#heap
    const [first] = heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return first
    let at = 0
    for (let down = 1; down < heap.length; down = 2 * at + 1) {
      if (down + 1 < heap.length && isBefore(heap[down + 1], heap[down])) down++
      if (!isBefore(heap[down], last)) break
      heap[at] = heap[down]
      at = down
    }
    heap[at] = last
    return first
  }
}

function isBefore(a: Candidate, b: Candidate): boolean {
  return a.rank - b.rank < 0 || (a.rank === b.rank && a.left < b.left)
}
