/**
 * Every place of a file, and what it looks like with more in it: the cases of amounts.ts, derived from valid files.
 *
 * A place is a list, a map, a text, a key, a number or bytes. It grows on its own; together with another place of the file; or
 * together with all lists and numbers that say the same length, so that files with a count that is right are tried too.
 */
import { Inside, Nest, Tagged, type Form, type Tree } from './forms.ts'

/** One way for a file to become larger. */
export interface Growth {
  /** Where, and in which way: "weight_map: keys". */
  readonly what: string
  /** The file with so much at the place, where 1 is about what a valid file has. Null if the form cannot write it. */
  readonly make: (amount: number) => Promise<Uint8Array | null>
  /** The amounts to try; as many as fill sizes in bytes unless given. */
  readonly amounts?: readonly number[]
  /** The size of the largest case, in bytes. */
  readonly size: number
  /** The amount in the valid file, for lists and maps. */
  readonly from?: number
  /** Whether the largest amount that is read is looked for. */
  readonly hasLimit?: boolean
}

/** The largest case of a place, of what is foreign there, and of two places that grow at once: shares of the size that is told. */
const [FOREIGN, OF_TWO] = [1 / 8, 1 / 16]

/** A place, and the whole file with another tree there. */
interface Place {
  readonly path: string
  readonly node: Tree
  readonly with: (node: Tree) => Tree
  /** The key of the place in its map, and the whole file with another key. */
  readonly key?: string
  readonly renamed?: (key: string) => Tree
}

/** Of a longer list or map only the first and the last element are places; and of a shorter one whose elements are alike. */
const [MOST_WALKED, MOST_ALIKE] = [24, 3]

/** The places of a tree. */
function placesOf(root: Tree): Place[] {
  const places: Place[] = []
  const walk = (place: Place): void => {
    places.push(place)
    const { node, path } = place
    if (node instanceof Inside)
      walk({ path, node: node.tree, with: (tree) => place.with(new Inside(node.form, tree)) })
    const items = itemsOf(node)
    if (items !== null)
      for (const i of ends(items))
        walk({
          path: `${path}.${i}`,
          node: items[i],
          with: (item) => place.with(withItems(node, items.with(i, item))),
        })
    if (node instanceof Map) {
      const entries = [...node]
      for (const i of ends([...node.values()])) {
        const [key, value] = entries[i]
        walk({
          path: `${path}.${key}`,
          node: value,
          with: (item) => place.with(new Map(entries.with(i, [key, item]))),
          key,
          renamed: (name) => place.with(new Map(entries.with(i, [name, value]))),
        })
      }
    }
  }
  walk({ path: '', node: root, with: (tree) => tree })
  return places
}

function ends(items: readonly Tree[]): number[] {
  const areAlike = items.every((item) => signature(item) === signature(items[0]))
  const all = items.length <= (areAlike ? MOST_ALIKE : MOST_WALKED)
  return all ? Array.from(items.keys()) : [0, items.length - 1]
}

/** What kind of a tree it is. */
function signature(node: Tree): string {
  if (node instanceof Map) return [...node.keys()].join()
  return node === null
    ? 'null'
    : `${typeof node} ${node instanceof Tagged ? node.tag : node.constructor.name}`
}

/** The elements of a list, of whichever kind. */
function itemsOf(node: Tree): Tree[] | null {
  if (Array.isArray(node)) return node
  return node instanceof Tagged ? node.parts : null
}

/** The length of a list or a map; null of anything else. */
function lengthOf(node: Tree): number | null {
  return node instanceof Map ? node.size : (itemsOf(node)?.length ?? null)
}

function withItems(node: Tree, items: Tree[]): Tree {
  return node instanceof Tagged ? new Tagged(node.tag, items) : items
}

/** Marks that a pattern, a normal form or an escape may stumble over. */
const marks = [' ', '\n', '0', '/', '.', '"', '<', '\u0301', '\u00e9']

/** Numbers that overflow something, or ask for much. */
const numbers = [0, -1, 1000, 10_000, 100_000, 2 ** 20, 2 ** 24, 2 ** 31, 2 ** 53, 1e308]

type Grow = (node: Tree, amount: number) => Tree

/** A copy that differs from others in each text and number. */
function distinct(node: Tree, i: number): Tree {
  if (typeof node === 'string') return `${node}${i}`
  if (typeof node === 'number' && Number.isInteger(node)) return node + i
  if (node instanceof Inside) return new Inside(node.form, distinct(node.tree, i))
  if (node instanceof Map) return new Map(Array.from(node, ([key, value]) => [key, distinct(value, i)]))
  const items = itemsOf(node)
  // The type of a pickled storage is a name that has to stay.
  if (node instanceof Tagged && node.tag === 'global') return node
  return items === null
    ? node
    : withItems(
        node,
        items.map((item) => distinct(item, i)),
      )
}

/** A list with its first element over and over, before the others. */
const repeatedFirst: Grow = (node, amount) => {
  const [first = 1, ...rest] = itemsOf(node) as Tree[]
  return withItems(node, [...Array.from({ length: Math.max(1, amount - rest.length) }, () => first), ...rest])
}

/** A list that goes on with others of its kind. */
const continued: Grow = (node, amount) => {
  const items = itemsOf(node) as Tree[]
  const from = items.length === 0 ? [1] : items
  return withItems(
    node,
    Array.from({ length: amount }, (_, i) => (i < items.length ? items[i] : later(from[i % from.length], i))),
  )
}

const map =
  (copy: (item: Tree, i: number) => Tree): Grow =>
  (node, amount) => {
    const entries = [...(node as Map<string, Tree>)]
    const [key, value] = entries.at(-1) ?? ['a', 1]
    const more = Array.from({ length: Math.max(0, amount - entries.length) }, (_, i): [string, Tree] => [
      `${key}${i}`,
      copy(value, i),
    ])
    return new Map([...entries.slice(0, Math.max(1, amount)), ...more])
  }

const same = (item: Tree): Tree => item
/** Past the numbers that a small file has. */
const later = (item: Tree, i: number): Tree => distinct(item, i + 1000)

const repeated =
  (mark?: string): Grow =>
  (node, amount) =>
    mark === undefined ? ((node as string) || 'a').repeat(amount) : mark.repeat(amount)

function grown(node: Tree): [name: string, grow: Grow][] {
  if (typeof node === 'string')
    return [
      ['longer', repeated()],
      ...marks.map((mark): [string, Grow] => [`of ${JSON.stringify(mark)}`, repeated(mark)]),
    ]
  if (node instanceof Uint8Array)
    return [['longer', (bytes, amount) => repeatedBytes(bytes as Uint8Array, amount)]]
  if (node instanceof Map)
    return [
      ['equal entries', map(same)],
      ['other entries', map(later)],
    ]
  const hasAnyLength = node instanceof Tagged ? /^(?:tuple|list)/.test(node.tag) : Array.isArray(node)
  return !hasAnyLength
    ? []
    : [
        ['equal elements', repeatedFirst],
        ['other elements', continued],
      ]
}

function repeatedBytes(bytes: Uint8Array, times: number): Uint8Array {
  const one = bytes.length === 0 ? Uint8Array.of(0) : bytes
  const out = new Uint8Array(one.length * times)
  for (let i = 0; i < times; i++) out.set(one, i * one.length)
  return out
}

/** In the place of anything. */
const strangers: readonly [name: string, grow: Grow][] = [
  ['a text instead', (_, amount) => 'a'.repeat(amount)],
  ['a list instead', (_, amount) => Array.from({ length: amount }, (__, i) => i)],
]

/** The ways in which a valid file can grow. @param size of the largest case, in bytes */
export async function growthsOf(form: Form, file: Uint8Array, size: number): Promise<Growth[]> {
  const root = await form.read(file)
  const made = (tree: () => Tree): Promise<Uint8Array | null> =>
    // The writer of parquet refuses columns that are no columns; what is no tree of the form is no case.
    Promise.resolve()
      .then(() => form.write(tree()))
      .catch((error: unknown) => (form.name === 'parquet rows' ? null : Promise.reject(error as Error)))
  const growths: Growth[] = []
  const places = placesOf(root)
  for (const { path, node, with: put, key, renamed } of places) {
    const where = `${form.name}${path}`
    for (const [name, grow] of grown(node))
      growths.push({
        what: `${where}: ${name}`,
        size: name.startsWith('of ') ? size * FOREIGN : size,
        hasLimit: !name.startsWith('of '),
        from: lengthOf(node) ?? 0,
        make: (amount) => made(() => put(grow(node, amount))),
      })
    if (typeof node === 'number')
      for (const value of numbers)
        growths.push({
          what: `${where}: ${value}`,
          size: 0,
          make: () => made(() => put(value)),
          amounts: [1],
        })
    if (key !== undefined && renamed !== undefined)
      growths.push({
        what: `${where}: a longer key`,
        size: size * FOREIGN,
        hasLimit: true,
        make: (amount) => made(() => renamed(key.repeat(amount))),
      })
    if (path === '' && !/^(?:json|pickle)$/.test(form.name)) continue
    for (const kind of ['lists', 'maps'] as const)
      growths.push({
        what: `${where}: nested ${kind}`,
        make: (depth) => made(() => put(new Nest(depth, kind))),
        size: 0,
        amounts: [1000, 100_000],
      })
    for (const [name, grow] of strangers)
      growths.push({
        what: `${where}: ${name}`,
        size: size * FOREIGN,
        make: (amount) => made(() => put(grow(node, amount))),
      })
  }
  return [...growths, ...pairsOf(form, places, root, size, made), ...togetherOf(form, root, size, made)]
}

/** Two places that both grow, neither inside the other. */
function pairsOf(
  form: Form,
  places: readonly Place[],
  root: Tree,
  size: number,
  made: (tree: () => Tree) => Promise<Uint8Array | null>,
): Growth[] {
  const growing = places.filter(({ node, path }) => path !== '' && grown(node).length > 0)
  const chosen = (count: number, holds: (node: Tree) => boolean): Place[] =>
    growing.filter(({ node }) => holds(node)).slice(0, count)
  const all = [
    ...chosen(12, (node) => itemsOf(node) !== null),
    ...chosen(6, (node) => node instanceof Map),
    ...chosen(4, (node) => typeof node === 'string'),
  ]
  return all.flatMap((one, i) =>
    all.slice(i + 1).flatMap((other): Growth[] => {
      if (`${other.path}.`.startsWith(`${one.path}.`) || `${one.path}.`.startsWith(`${other.path}.`))
        return []
      return [
        {
          what: `${form.name}${one.path} and ${other.path}`,
          size: size * OF_TWO,
          make: (amount) =>
            made(() => {
              const grow = ({ node }: Place): Tree => grown(node)[0][1](node, amount)
              // The other place is looked up again: the tree around it is a new one.
              return placeAt(one.with(grow(one)), other.path)?.with(grow(other)) ?? root
            }),
        },
      ]
    }),
  )
}

function placeAt(root: Tree, path: string): Place | null {
  const wanted = path.slice(1)
  const walk = (place: Place): Place | null => {
    const { node } = place
    if (place.path === path) return place
    const rest = place.path === '' ? wanted : path.slice(place.path.length + 1)
    if (node instanceof Inside)
      return walk({
        path: place.path,
        node: node.tree,
        with: (tree) => place.with(new Inside(node.form, tree)),
      })
    const items = itemsOf(node)
    if (items !== null) {
      const i = Number.parseInt(rest, 10)
      return i in items
        ? walk({
            path: `${place.path}.${i}`,
            node: items[i],
            with: (item) => place.with(withItems(node, items.with(i, item))),
          })
        : null
    }
    if (!(node instanceof Map)) return null
    const key = [...node.keys()].find((name) => rest === name || rest.startsWith(`${name}.`))
    if (key === undefined) return null
    return walk({
      path: `${place.path}.${key}`,
      node: node.get(key) as Tree,
      with: (item) => place.with(new Map([...node, [key, item]])),
    })
  }
  return walk({ path: '', node: root, with: (tree) => tree })
}

/** All lists of a length, and all numbers that say it, at once. */
function togetherOf(
  form: Form,
  root: Tree,
  size: number,
  made: (tree: () => Tree) => Promise<Uint8Array | null>,
): Growth[] {
  const lengths = new Set<number>()
  const walk = (node: Tree): void => {
    const length = lengthOf(node)
    if (length !== null && length > 0 && length < 1000) lengths.add(length)
    if (node instanceof Inside) walk(node.tree)
    for (const item of node instanceof Map ? node.values() : (itemsOf(node) ?? [])) walk(item)
  }
  walk(root)
  return [...lengths].flatMap((length) =>
    ['equal', 'other'].map((kind, variant) => ({
      what: `${form.name}, all that is ${length}: ${kind}`,
      size: size * OF_TWO,
      hasLimit: true,
      make: (amount) =>
        made(() => {
          const replaced = (node: Tree, isRoot = false): Tree => {
            if (node === length) return amount
            if (node instanceof Inside) return new Inside(node.form, replaced(node.tree))
            const inner: Tree =
              node instanceof Map
                ? new Map(Array.from(node, ([key, value]) => [key, replaced(value)]))
                : itemsOf(node) === null
                  ? node
                  : withItems(
                      node,
                      (itemsOf(node) as Tree[]).map((item) => replaced(item)),
                    )
            // What is inside of a list that grows does not: that would be a product.
            if (lengthOf(node) !== length || isRoot) return inner
            return grown(node)[variant]?.[1](node, amount) ?? inner
          }
          return replaced(root, true)
        }),
    })),
  )
}
