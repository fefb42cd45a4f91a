/**
 * The text of a shader: a pass of a kernel, and how it reaches the arrays of a call.
 *
 * A pass runs once for each of `p.count` numbers `n`. For an array x of the kernel it has
 *
 *   x(i)        number i: f32, or i32 for bytes and lists; half precision is widened
 *   bits_x(i)   its bits
 *   word_x(i)   of bytes: four of them from byte i on
 *   set_x(i, v) of arrays that are written; half precision takes bits
 *   has_x       whether it is there; an absent list has every number in its place, an absent array of floats has +0
 *
 * and every size and scalar as `p.T`. In a grouped kernel a workgroup runs for each `n`, and `thread` is which of its threads.
 * Arrays stand in windows of memory, each a binding. An array that is larger than a binding may be stands in several, one after
 * the other.
 */
import type { ArrayParam, Dtype, Kernel } from '../../ops/op.ts'
import type { WgslKernel } from './exact_kernels.ts'

/** Threads of a workgroup. */
export const GROUP = 64
/** Workgroups of a row of a grid; more than these are further rows. */
export const GRID_WIDTH = 32_768

/** What WGSL keeps for itself, and what it is called instead. */
const reserved: Readonly<Record<string, string>> = { target: 'target_of' }

/** The bindings an array stands in: the first and the last one; null for one that is absent. */
export type Place = readonly [first: number, last: number] | null

/** Numbers of each kind in a word, as a power of two. */
const wordShift: Readonly<Record<Dtype, number>> = { f32: 0, i32: 0, bf16: 1, f16: 1, i8: 2, i4: 2 }

/** Where a pass leaves numbers for the next one: f32, and whole numbers by their bits. */
const scratchParam = { name: 'scratch', dtype: 'f32', role: 'out' } as const

/** The arrays of a kernel, and its scratch. */
function arraysOf(kernel: Kernel): readonly Pick<ArrayParam, 'name' | 'dtype' | 'role'>[] {
  const arrays = kernel.params.filter((param): param is ArrayParam => param.kind === 'array')
  return [...arrays.map((array) => ({ ...array, name: reserved[array.name] ?? array.name })), scratchParam]
}

/** Which piece of work is done here. */
const place = {
  group: `group.y * ${GRID_WIDTH}u + group.x`,
  thread: `(group.y * ${GRID_WIDTH}u + group.x) * ${GROUP}u + thread`,
} as const

/** What the threads of a workgroup find together. All of them call it, and all get the result. */
const groupWgsl = `
var<workgroup> shared_values: array<vec4f, ${GROUP}>;

fn group_sum(thread: u32, value: vec4f) -> vec4f {
  shared_values[thread] = value;
  workgroupBarrier();
  for (var apart = ${GROUP / 2}u; apart > 0u; apart /= 2u) {
    if (thread < apart) { shared_values[thread] = add4(shared_values[thread], shared_values[thread + apart]); }
    workgroupBarrier();
  }
  let total = shared_values[0];
  workgroupBarrier();
  return total;
}

/** The largest; NaN is passed over. */
fn group_most(thread: u32, value: f32) -> f32 {
  shared_values[thread].x = value;
  workgroupBarrier();
  var most = value;
  for (var i = 0; i < ${GROUP}; i++) {
    if (shared_values[i].x > most) { most = shared_values[i].x; }
  }
  workgroupBarrier();
  return most;
}
`

/** Fields of the uniform block before the kernel's own. */
export const uniformHead = ['count', 'zero', 'first', 'many'] as const

/**
 * The text of a pass of a kernel.
 * @param places of the arrays and the scratch
 * @param windowWords words of a binding, where an array stands in several
 */
export function shaderText(
  definition: Kernel,
  kernel: WgslKernel,
  pass: string,
  places: readonly Place[],
  windowWords: number,
  library: string,
): string {
  const arrays = arraysOf(definition)
  const isAtomic = (slot: number): boolean =>
    arrays.some(({ role, dtype }, i) => role !== 'in' && wordShift[dtype] > 0 && covers(places[i], slot))
  const slots = Math.max(0, ...places.map((place) => (place === null ? 0 : place[1] + 1)))
  const numbers = definition.params.filter(({ kind }) => kind !== 'array')
  const fields = [
    ...uniformHead.map((name) => `${name}: ${name === 'zero' ? 'u32' : 'i32'}`),
    ...numbers.map(({ kind, name }) => `${name}: ${kind === 'scalar' ? 'f32' : 'i32'}`),
    ...arrays.map(({ name }) => `at_${name}: i32`),
  ]
  // A switch has the last binding as its default, so that every path gives a number.
  const inSlots = (place: Place, each: (slot: number, index: string) => string): string => {
    if (place === null) return ''
    const [first, last] = place
    if (first === last) return each(first, 'w')
    const cases = Array.from({ length: last - first }, (_, i) => `case ${i} { ${each(first + i, 'o')} }`)
    return `let o = w % ${windowWords}; switch (w / ${windowWords}) { ${cases.join(' ')} default { ${each(last, 'o')} } }`
  }
  const load = (slot: number, index: string): string =>
    isAtomic(slot) ? `atomicLoad(&m${slot}[${index}])` : `m${slot}[${index}]`
  const accessors = arrays.map((array, i) => {
    const { name, dtype, role } = array
    const place = places[i]
    const shift = wordShift[dtype]
    if (place === null)
      return `const has_${name} = false;
fn bits_${name}(i: i32) -> u32 { return 0u; }
fn ${name}(i: i32) -> ${isFloat(dtype) ? 'f32 { return zero(); }' : 'i32 { return i; }'}
fn set_${name}(i: i32, v: ${shift === 0 && isFloat(dtype) ? 'f32' : shift === 1 ? 'u32' : 'i32'}) {}`
    const parts = [
      `const has_${name} = true;`,
      `fn words_${name}(w: i32) -> u32 { ${inSlots(place, (slot, index) => `return ${load(slot, index)};`)} }`,
    ]
    if (shift === 0) parts.push(`fn bits_${name}(i: i32) -> u32 { return words_${name}(p.at_${name} + i); }`)
    else {
      const mask = (1 << shift) - 1
      const width = 32 >> shift
      parts.push(`fn bits_${name}(i: i32) -> u32 {
  let e = p.at_${name} + i;
  return extractBits(words_${name}(e >> ${shift}u), u32(e & ${mask}) * ${width}u, ${width}u);
}`)
      if (shift === 2)
        parts.push(`fn word_${name}(i: i32) -> u32 {
  let e = p.at_${name} + i;
  let s = u32(e & 3) * 8u;
  let low = words_${name}(e >> 2u) >> s;
  if (s == 0u) { return low; }
  return low | (words_${name}((e >> 2u) + 1) << (32u - s));
}`)
    }
    parts.push(
      `fn ${name}(i: i32) -> ${isFloat(dtype) ? 'f32' : 'i32'} { return ${typed(dtype, `bits_${name}(i)`)}; }`,
    )
    if (role !== 'in') parts.push(setter(name, dtype, (each) => inSlots(place, each), isAtomic))
    return parts.join('\n')
  })
  const memory = Array.from(
    { length: slots },
    (_, slot) =>
      `@group(0) @binding(${slot + 1}) var<storage, read_write> m${slot}: array<${isAtomic(slot) ? 'atomic<u32>' : 'u32'}>;`,
  )
  const work = kernel.isGrouped ? 'group' : 'thread'
  return `
struct Numbers { ${fields.join(', ')} }
@group(0) @binding(0) var<uniform> p: Numbers;
${memory.join('\n')}
${library}
${kernel.isGrouped ? groupWgsl : ''}
${accessors.join('\n')}
@compute @workgroup_size(${GROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let n = i32(${place[work]});
  if (n >= p.count) { return; }
${kernel.passes[pass]}
}
`
}

function covers(place: Place, slot: number): boolean {
  return place !== null && place[0] <= slot && slot <= place[1]
}

function isFloat(dtype: Dtype): boolean {
  return dtype === 'f32' || dtype === 'bf16' || dtype === 'f16'
}

function typed(dtype: Dtype, bits: string): string {
  switch (dtype) {
    case 'f32':
      return `bitcast<f32>(${bits})`
    case 'bf16':
      return `widen_bf16(${bits})`
    case 'f16':
      return `widen_f16(${bits})`
    case 'i8':
      return `i32(${bits} << 24u) >> 24u`
    default:
      return `i32(${bits})`
  }
}

/** What writes a number. Those that share a word are written by its bits, so that threads may write neighbours. */
function setter(
  name: string,
  dtype: Dtype,
  inSlots: (each: (slot: number, index: string) => string) => string,
  isAtomic: (slot: number) => boolean,
): string {
  const shift = wordShift[dtype]
  if (shift === 0) {
    const type = dtype === 'f32' ? 'f32' : 'i32'
    const store = (slot: number, index: string): string =>
      isAtomic(slot) ? `atomicStore(&m${slot}[${index}], b);` : `m${slot}[${index}] = b;`
    return `fn set_${name}(i: i32, v: ${type}) { let b = bitcast<u32>(v); let w = p.at_${name} + i; ${inSlots(store)} }`
  }
  const width = 32 >> shift
  const store = (slot: number, index: string): string =>
    `atomicAnd(&m${slot}[${index}], ~mask); atomicOr(&m${slot}[${index}], b);`
  return `fn set_${name}(i: i32, v: ${shift === 1 ? 'u32' : 'i32'}) {
  let e = p.at_${name} + i;
  let w = e >> ${shift}u;
  let s = u32(e & ${(1 << shift) - 1}) * ${width}u;
  let mask = ${width === 8 ? '0xffu' : '0xffffu'} << s;
  let b = (u32(v) << s) & mask;
  ${inSlots(store)}
}`
}
