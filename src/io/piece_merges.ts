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
  const pairs = pairsOf(merges, ids)
  return (left, right) => {
    const from = ids.get(left)
    const to = from === undefined ? undefined : ids.get(right)
    return from === undefined || to === undefined ? undefined : pairs.rankOf(from, to)
  }
}

/** The pairs of lists that were checked, by the ids of their tokens: looking half a million texts up takes longer than all else. */
const checked = new WeakMap<
  ReadonlyMap<string, number>,
  { readonly merges: Merging['merges']; readonly pairs: RankedPairs }
>()

/**
 * The merges of a list as pairs of ids, which are kept as long as the ids are.
 * @param idOf the id of a token of the merge at a rank; an error that it throws is thrown here. Default: that of `ids`
 */
export function pairsOf(
  merges: readonly (readonly [string, string])[],
  ids: ReadonlyMap<string, number>,
  idOf = (token: string, _rank: number): number => ids.get(token) as number,
): RankedPairs {
  const known = checked.get(ids)
  if (known?.merges === merges) return known.pairs
  const pairs = new RankedPairs(merges, idOf)
  checked.set(ids, { merges, pairs })
  return pairs
}

/**
 * A list of merges as pairs of ids, sorted by the left id, then by the right one, then by rank. Sorting is linear in the list and
 * in the largest id, whatever an untrusted file says; a map from pairs would make an object of each key.
 */
class RankedPairs {
  /** Where the pairs of each left id begin; then the end. */
  readonly #starts: Uint32Array
  readonly #rights: Uint32Array
  readonly #ranks: Uint32Array

  constructor(merges: readonly (readonly [string, string])[], idOf: (token: string, rank: number) => number) {
    const lefts = new Uint32Array(merges.length)
    const rights = new Uint32Array(merges.length)
    for (let rank = 0; rank < merges.length; rank++) {
      lefts[rank] = idOf(merges[rank][0], rank)
      rights[rank] = idOf(merges[rank][1], rank)
    }
    const byRight = sortStably(Uint32Array.from(merges.keys()), rights)
    const byBoth = sortStably(byRight.order, lefts)
    this.#starts = byBoth.starts
    this.#ranks = byBoth.order
    this.#rights = byBoth.order.map((rank) => rights[rank])
  }

  /** The first rank of a pair; undefined if it is not in the list. */
  rankOf(left: number, right: number): number | undefined {
    const [begin, end] = [this.#starts[left], this.#starts[left + 1]]
    let [low, high] = [begin, end]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#rights[middle] < right) low = middle + 1
      else high = middle
    }
    return low < end && this.#rights[low] === right ? this.#ranks[low] : undefined
  }

  /** The first rank whose pair was in the list before; undefined if each pair is there once. */
  repeated(): number | undefined {
    let first: number | undefined
    for (let left = 0; left + 1 < this.#starts.length; left++)
      for (let at = this.#starts[left] + 1; at < this.#starts[left + 1]; at++) {
        const isRepeated = this.#rights[at] === this.#rights[at - 1]
        if (isRepeated && (first === undefined || this.#ranks[at] < first)) first = this.#ranks[at]
      }
    return first
  }
}

/** Places in the order of their keys, and where those of each key begin, the end last. Equal keys keep their order. */
function sortStably(
  places: Uint32Array,
  keys: Uint32Array,
): { readonly order: Uint32Array; readonly starts: Uint32Array } {
  const largest = keys.reduce((most, key) => Math.max(most, key), 0)
  const starts = new Uint32Array(largest + 2)
  for (const key of keys) starts[key + 1]++
  for (let key = 0; key <= largest; key++) starts[key + 1] += starts[key]
  const next = starts.slice()
  const order = new Uint32Array(places.length)
  for (const place of places) order[next[keys[place]]++] = place
  return { order, starts }
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
