/**
 * A model without the units that a mask skips, as a checkpoint of fewer neurons and heads in the form of Hugging Face: any engine
 * runs it. With second moments, what is skipped is first folded into what is kept (fold.ts).
 *
 * The form has one number of neurons and of heads for all layers. So each layer gets as many as the layer that keeps most, and
 * zeros in place of those that it lacks, which add nothing; a form of GGUF lets each layer have its own. Key heads are left out with
 * the last head of their group; each group gets as many heads as the group that keeps most. Where the form does not allow fewer heads (OPT, whose heads fill the width;
 * OLMo 2, whose norms span all heads), all stay, and the columns of those that are skipped become zeros.
 *
 * Rows keep their type and bits. A matrix that skipped units were folded into becomes float32.
 */
import { chosenUnits, layerMask, rowsOfUnits } from '../engine/unit_lists.ts'
import type { ModelConfig } from '../engine/config.ts'
import { matchTensors } from '../engine/names.ts'
import { layerOf, parametersOf, siteIn, type Section, type Step } from '../engine/plan.ts'
import { modelPlan } from '../engine/program.ts'
import type { Checkpoint, OutputForm } from '../io/conversion.ts'
import { refusal } from '../io/refusal.ts'
import { unitKinds, type UnitKind, type UnitMask, type UnitShape } from '../masks/mask.ts'
import { elementSize } from '../tensor/dtypes.ts'
import { UsageError } from '../tensor/errors.ts'
import { gather, madeTensor, storedSource, type StoredTensor } from '../tensor/stored_source.ts'
import { rowsOf, type RawTensorSource, type TensorInfo } from '../tensor/tensor_source.ts'
import { foldSkipped } from './fold.ts'
import { momentWidths } from './moments.ts'
import type { Moments } from './moments_file.ts'

/** How skipped units are compensated. */
export interface Compensation {
  readonly moments: Moments
  /** λ of fold.ts. */
  readonly ridge: number
}

/** How many units the layers of a model have. */
export type UnitCounts = Pick<UnitShape, UnitKind> & { readonly keyHeads: number }

/** A checkpoint with fewer units. */
export interface SmallerCheckpoint extends Checkpoint {
  /** Those of the layer that has most. */
  readonly units: UnitCounts
  /** Whether layers have different numbers of them. */
  readonly layersDiffer: boolean
}

/** Units of a layer side by side: their numbers, and -1 for a place that is filled with zeros. */
type Places = Int32Array

/** The places of the units of a layer. */
interface LayerPlaces {
  /** Of what adds the units up. */
  readonly columns: Readonly<Record<UnitKind, Places>>
  /** Of what makes them; null where all stay. */
  readonly rows: Readonly<Record<UnitKind | 'keyHeads', Places | null>>
}

/**
 * The checkpoint without the units that a mask skips. Matrices are made when they are read.
 * @param config of the checkpoint
 * @param mask of ones and zeros, of the model's shape
 * @param compensation null leaves zeros in place of what is skipped
 * @param form of the output
 * @throws InputError TENSOR_MISSING, TENSOR_SHAPE and others of `matchTensors`; while matrices are read also those of
 *   `Moments.read`, and MOMENTS_RIDGE if λ is too small for the moments of a layer
 */
export function smallerModel(
  { configJson, source }: Checkpoint,
  config: ModelConfig,
  mask: UnitMask,
  compensation: Compensation | null,
  form: OutputForm = {},
): SmallerCheckpoint {
  const { units, places } = placesOf(config, mask, form)
  const { stored } = matchTensors(config, source.tensors)
  const selections = selectionsOf(config, mask, places)
  const byTensor = new Map<string, { readonly rows: number; readonly selection: Selection | null }[]>()
  for (const [parameter, { name, rows }] of stored) {
    const parts = byTensor.get(name) ?? []
    byTensor.set(name, [...parts, { rows, selection: selections.get(parameter) ?? null }])
  }
  const tensors = new Map<string, StoredTensor>()
  for (const info of source.tensors.values()) {
    const parts = byTensor.get(info.name) ?? []
    const [own] = parts
    const changed =
      own?.selection?.of === 'columns'
        ? columnTensor(source, info, own.selection, compensation)
        : parts.some(({ selection }) => selection)
          ? rowTensor(source, info, parts)
          : sameTensor(source, info)
    tensors.set(info.name, changed)
  }
  const counts = places.map(({ columns }) => `${columns.heads.length} ${columns.neurons.length}`)
  return {
    units,
    layersDiffer: new Set(counts).size > 1,
    configJson: { ...configJson, ...fieldsOf(configJson, config, units) },
    source: storedSource('checkpoint', tensors, source.metadata, () => source.close()),
  }
}

/** The fields of config.json that say how many units there are. */
function fieldsOf(
  { model_type: type }: Checkpoint['configJson'],
  { headSize, ...config }: ModelConfig,
  { heads, keyHeads, neurons }: UnitCounts,
): Record<string, number> {
  const ffn = { [type === 'opt' ? 'ffn_dim' : 'intermediate_size']: neurons }
  if (heads === config.heads && keyHeads === config.keyHeads) return ffn
  return { ...ffn, num_attention_heads: heads, num_key_value_heads: keyHeads, head_dim: headSize }
}

// ---- Which units stand where ------------------------------------------------------------------------------------

/** Where the units of each layer stand in the smaller model. */
function placesOf(
  config: ModelConfig,
  mask: UnitMask,
  { layersDiffer = false, multiple = 1 }: OutputForm,
): { readonly units: UnitCounts; readonly places: readonly LayerPlaces[] } {
  const { layers, heads: H, keyHeads: G } = config
  const sections = Array.from({ length: layers }, (_, l) => layerOf(modelPlan(config), l))
  const kept = sections.map((_, l) => {
    const { heads, neurons } = layerMask(mask, l)
    return { heads: chosenUnits(heads), neurons: chosenUnits(neurons) }
  })
  /** The places of each layer by what it needs: its own, or those of the layer that needs most. */
  const roomFor = (
    counts: readonly number[],
  ): { readonly most: number; readonly each: readonly number[] } => {
    const most = largest(counts)
    return { most, each: counts.map((count) => (layersDiffer ? count : most)) }
  }
  const F = roomFor(
    kept.map(({ neurons: { length } }) =>
      Math.min(config.neurons, Math.ceil(Math.max(length, 1) / multiple) * multiple),
    ),
  )
  const neuronPlaces = kept.map(({ neurons }, l) => padded(neurons, F.each[l]))
  const units = { heads: H, keyHeads: G, neurons: F.most }
  if (!sections.every((section) => mayHaveFewerHeads(config, section)))
    return {
      units,
      places: kept.map(({ heads }, l) => {
        const own = Int32Array.from({ length: H }, (_, h) => (heads.includes(h) ? h : -1))
        const neurons = neuronPlaces[l]
        return { columns: { heads: own, neurons }, rows: { heads: null, keyHeads: null, neurons } }
      }),
    }
  const inGroupBefore = H / G
  const groups = kept.map(({ heads }) => {
    const byGroup = Map.groupBy(heads, (head) => Math.floor(head / inGroupBefore))
    return [...byGroup].map(([group, own]) => ({ group, own: Int32Array.from(own) }))
  })
  const keyHeads = roomFor(groups.map(({ length }) => Math.max(length, 1)))
  const inGroup = roomFor(groups.map((own) => largest(own.map(({ own: { length } }) => length))))
  return {
    units: { heads: keyHeads.most * inGroup.most, keyHeads: keyHeads.most, neurons: F.most },
    places: groups.map((own, l) => {
      const heads = new Int32Array(keyHeads.each[l] * inGroup.each[l]).fill(-1)
      own.forEach(({ own: members }, place) => heads.set(members, place * inGroup.each[l]))
      const keys = padded(
        Int32Array.from(own, ({ group }) => group),
        keyHeads.each[l],
      )
      const neurons = neuronPlaces[l]
      return { columns: { heads, neurons }, rows: { heads, keyHeads: keys, neurons } }
    }),
  }
}

/** The largest of these counts, at least 1. */
function largest(counts: readonly number[]): number {
  return counts.reduce((a, b) => Math.max(a, b), 1)
}

/** Whether heads of a layer can be left out: each has rows of its own in query, key and value, and the form says their size. */
function mayHaveFewerHeads({ family }: ModelConfig, section: Section): boolean {
  const { makers, attention } = siteIn(section, 'heads')
  return family !== 'opt' && makers.length === 1 && attention?.makers.length === 2
}

/** These units, and -1 for the rest of so many places. */
function padded(units: Int32Array, count: number): Places {
  const places = new Int32Array(count).fill(-1)
  places.set(units)
  return places
}

// ---- What becomes of each parameter -----------------------------------------------------------------------------

/** The rows or columns of a parameter that stay, in units of `size`; -1 is zeros. */
type Selection =
  | { readonly of: 'rows'; readonly places: Places; readonly size: number }
  | {
      readonly of: 'columns'
      readonly places: Places
      readonly size: number
      readonly kind: UnitKind
      readonly layer: number
      /** Columns, ascending. */
      readonly kept: Int32Array
      /** N, all columns. */
      readonly width: number
    }

/** By the names of parameters; absent for one that stays as it is. */
function selectionsOf(
  config: ModelConfig,
  mask: UnitMask,
  places: readonly LayerPlaces[],
): Map<string, Selection> {
  const selections = new Map<string, Selection>()
  const widths = momentWidths(config)
  const rows = (steps: readonly Step[], own: Places | null, size: number): void => {
    if (own)
      for (const { value } of steps)
        for (const { name } of parametersOf(value)) selections.set(name, { of: 'rows', places: own, size })
  }
  for (const [layer, own] of places.entries()) {
    const section = layerOf(modelPlan(config), layer)
    for (const kind of unitKinds) {
      const { size, makers, readers, attention } = siteIn(section, kind)
      rows(makers, own.rows[kind], size)
      if (attention) rows(attention.makers, own.rows.keyHeads, size)
      const kept = rowsOfUnits(chosenUnits(layerMask(mask, layer)[kind]), size)
      for (const { value } of readers) {
        const [{ name }] = parametersOf(value)
        const about = { of: 'columns', places: own.columns[kind], size, kind, layer, kept } as const
        selections.set(name, { ...about, width: widths[kind] })
      }
    }
  }
  return selections
}

// ---- Tensors ----------------------------------------------------------------------------------------------------

/** A tensor that stays as it is. */
function sameTensor(source: RawTensorSource, info: TensorInfo): StoredTensor {
  const rowLength = rowsOf(info.shape).columns * elementSize(info.dtype)
  return {
    info,
    rows: async (first, count) =>
      (await source.readRaw(info.name)).slice(first * rowLength, (first + count) * rowLength),
    async *parts(length) {
      for await (const { bytes } of source.stream(info.name, length)) yield bytes
    },
  }
}

/** A tensor of the rows of one or several parameters. */
function rowTensor(
  source: RawTensorSource,
  info: TensorInfo,
  parts: readonly { readonly rows: number; readonly selection: Selection | null }[],
): StoredTensor {
  const taken: number[] = []
  let first = 0
  for (const { rows, selection } of parts) {
    const places = selection ? expand(selection) : Int32Array.from({ length: rows }, (_, row) => row)
    for (const place of places) taken.push(place < 0 ? -1 : first + place)
    first += rows
  }
  const rowLength = rowsOf(info.shape).columns * elementSize(info.dtype)
  return madeTensor(info.name, [taken.length, ...info.shape.slice(1)], info.dtype, async () => {
    const from = await source.readRaw(info.name)
    return gather(from, 1, taken, rowLength)
  })
}

/** A matrix of the columns of one parameter, with the columns that are left out folded into the others. */
function columnTensor(
  source: RawTensorSource,
  info: TensorInfo,
  selection: Selection & { readonly of: 'columns' },
  compensation: Compensation | null,
): StoredTensor {
  const { kept, width } = selection
  const [D] = info.shape
  const taken = expand(selection)
  const isFolded = compensation !== null && kept.length > 0 && kept.length < width
  const dtype = isFolded ? 'F32' : info.dtype
  return madeTensor(info.name, [D, taken.length], dtype, async () => {
    const from = isFolded
      ? await folded(await source.read(info.name), selection, compensation)
      : await source.readRaw(info.name)
    const bytes = new Uint8Array(from.buffer, from.byteOffset, from.byteLength)
    return gather(bytes, D, taken, elementSize(dtype))
  })
}

async function folded(
  weight: Float32Array,
  { kind, layer, width, kept }: Selection & { readonly of: 'columns' },
  { moments, ridge }: Compensation,
): Promise<Float32Array> {
  const second = await moments.read(kind, layer, width)
  try {
    return foldSkipped(weight, second, kept, ridge)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    const subject = `${moments.path} ${kind} of layer ${layer}`
    throw refusal(
      'MOMENTS_RIDGE',
      subject,
      `moments that are positive definite with a ridge of ${ridge}`,
      'others; a larger one may do',
    )
  }
}

/** The rows or columns of the units at these places. */
function expand({ places, size }: Selection): Int32Array {
  return Int32Array.from({ length: places.length * size }, (_, i) => {
    const place = places[Math.floor(i / size)]
    return place < 0 ? -1 : place * size + (i % size)
  })
}
