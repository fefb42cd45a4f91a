/**
 * The predictor: the golden scores and masks, the file form, and the planners built on it.
 *
 * Tests src/backends/rows.ts, src/planners/oracle.ts, src/planners/random.ts, src/planners/shadow.ts and src/planners/static.ts.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { BufferScope } from '../../src/backends/buffer_scope.ts'
import { createBackend } from '../../src/backends/select.ts'
import { encodeSafetensors, type TensorToWrite } from '../../src/io/safetensors_writer.ts'
import { makeBudget, type Scope } from '../../src/masks/budget.ts'
import { denseMask, makeMask, unitKinds } from '../../src/masks/mask.ts'
import type { PromptView } from '../../src/masks/planner.ts'
import { backendTopK, selectMask, type UnitScores } from '../../src/masks/selection.ts'
import { networkShape, shadowDefaults, type ShadowConfig } from '../../src/predictor/predictor_config.ts'
import { configEntry } from '../../src/predictor/predictor_config_schema.ts'
import { lastTokenContext, makeTargets, scaleFeatures } from '../../src/predictor/features.ts'
import {
  layerParameterLengths,
  layerParameterNames,
  Network,
  type NetworkValues,
} from '../../src/predictor/network.ts'
import { plannerNames } from '../../src/planners/index.ts'
import { oraclePlanner } from '../../src/planners/oracle.ts'
import { randomPlanner } from '../../src/planners/random.ts'
import { shadowPlanner } from '../../src/planners/shadow.ts'
import { staticPlanner } from '../../src/planners/static.ts'
import { openPredictor, savePredictor } from '../../src/predictor/predictor_file.ts'
import { ShadowPredictor } from '../../src/predictor/shadow.ts'
import { Random } from '../../src/tensor/random.ts'
import { expectNear, get, getFloats, getIds, readCase, tolerance, type Case } from '../golden/golden.ts'
import { withGolden } from '../golden/model.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { randomScores } from '../../src/criteria/random.ts'

const golden = readCase('preln', 'predictor')
const shape = { layers: 2, heads: 4, neurons: 64 }

/** The outputs of one network of the golden file; unlike ours it has outputs for layer 0 as well. */
function goldenOutputs(backend: Backend, kind: 'head' | 'ffn', row: Float32Array): Float32Array {
  const values: NetworkValues = {
    inputWeight: getFloats(golden, `predictor.${kind}.fc1.weight`),
    inputBias: getFloats(golden, `predictor.${kind}.fc1.bias`),
    outputWeight: getFloats(golden, `predictor.${kind}.fc2.weight`),
    outputBias: getFloats(golden, `predictor.${kind}.fc2.bias`),
  }
  const scope = new BufferScope(backend)
  const network = new Network(scope, { inputs: 32, hidden: 20, outputs: values.outputBias.length }, values)
  const outputs = network.predict(row)
  scope.dispose()
  return outputs
}

/** The scores a golden context leads to. */
function goldenScores(backend: Backend): UnitScores {
  const row = scaleFeatures(getFloats(golden, 'first_layer_last_token_context'), 'min_max')
  return { shape, heads: goldenOutputs(backend, 'head', row), neurons: goldenOutputs(backend, 'ffn', row) }
}

describe('the released predictor', () =>
  overQuickBackends((backend) => {
    test('reads the layer-0 context of the last token, scaled to [0, 1]', () =>
      withGolden('preln', backend, (model) => {
        let seen: Float32Array = new Float32Array(0)
        const sequence = model.begin({
          planner: {
            name: 'looking',
            by: 'attention',
            choose({ context, tokens }) {
              seen = lastTokenContext(context, tokens)
              return denseMask(shape)
            },
          },
        })
        sequence.feed(getIds(golden, 'input_ids'), 'none')
        sequence.dispose()
        expectNear(seen, get(golden, 'first_layer_last_token_context').values, 1e-5, 'context')
        expectNear(scaleFeatures(seen, 'min_max'), get(golden, 'predictor_input').values, 1e-5, 'input')
      }))

    test('gives the golden scores', () => {
      const scores = goldenScores(backend)
      expectNear(scores.heads, get(golden, 'head.scores').values, 1e-5, 'head.scores')
      expectNear(scores.neurons, get(golden, 'ffn.scores').values, 1e-5, 'ffn.scores')
    })

    for (const percent of [25, 50, 75])
      for (const [name, scope] of [
        ['global', 'global'],
        ['perlayer', 'per-layer'],
      ] as const)
        test(`gives the golden ${name} masks at ${percent} %`, () =>
          goldenMasks(golden, goldenScores(backend), name, scope, percent, backend))

    test('its mask gives the golden logits', () =>
      withGolden('preln', backend, (model) => {
        const scores = goldenScores(backend)
        const planner = oraclePlanner(scores, makeBudget(0.5, { policy: 'paper-compatible' }))
        const sequence = model.begin({ planner })
        const logits = sequence.feed(getIds(golden, 'input_ids'), 'all')
        sequence.dispose()
        expectNear(logits, get(golden, 'global50_layer0kept.logits').values, tolerance.logits, 'logits')
      }))
  }))

/** The golden file ranks layer 0 and, in the tensors so named, keeps it afterwards; our masks always keep it. */
function goldenMasks(
  tensors: Case,
  scores: UnitScores,
  name: string,
  scope: Scope,
  percent: number,
  backend: Backend,
): void {
  const budget = makeBudget(percent / 100, { policy: 'paper-compatible', scope })
  const mask = selectMask(scores, budget, backendTopK(backend))
  for (const [kind, prefix, units] of [
    ['heads', 'head', shape.heads],
    ['neurons', 'ffn', shape.neurons],
  ] as const) {
    const expected = getFloats(tensors, `${prefix}.${name}_mask_${percent}`)
    expect(mask[kind].subarray(units)).toEqual(expected.subarray(units))
    if (name === 'global')
      expect(mask[kind]).toEqual(getFloats(tensors, `${prefix}.global_mask_${percent}_layer0kept`))
  }
}

const config: ShadowConfig = {
  ...shadowDefaults,
  shape: { layers: 3, heads: 2, neurons: 5 },
  width: 6,
  headHidden: 4,
  neuronHidden: 7,
  features: 'standard',
  targets: 'raw',
  criterion: 'plainact',
  seed: 9,
  examples: 12,
  dataHash: null,
}

function makePredictor(backend: Backend, seed = 1): ShadowPredictor {
  const random = new Random(seed)
  const network = (kind: 'heads' | 'neurons'): NetworkValues => {
    const lengths = layerParameterLengths(networkShape(config, kind))
    const table = (length: number): Float32Array => Float32Array.from({ length }, () => random.normal())
    return Object.fromEntries(
      layerParameterNames.map((name) => [name, table(lengths[name])]),
    ) as unknown as NetworkValues
  }
  return new ShadowPredictor(backend, config, { heads: network('heads'), neurons: network('neurons') })
}

const context = Float32Array.of(0.3, -1, 2, 0.5, 0, 1)

describe('a predictor', () =>
  overQuickBackends((backend) => {
    test('gives a score to every unit after layer 0', () => {
      const predictor = makePredictor(backend)
      const { heads, neurons } = predictor.predict(context, 1)
      expect(heads).toHaveLength(6)
      expect(neurons).toHaveLength(15)
      expect(heads.subarray(0, 2)).toEqual(new Float32Array(2))
      expect(neurons.subarray(0, 5)).toEqual(new Float32Array(5))
      for (const scores of [heads.subarray(2), neurons.subarray(5)])
        expect(new Set(scores).size).toBe(scores.length)
      predictor.dispose()
    })

    test('is independent of the scale of its input', () => {
      const predictor = makePredictor(backend)
      const loud = predictor.predict(
        context.map((value) => 8 * value),
        1,
      )
      expectNear(loud.neurons, predictor.predict(context, 1).neurons, 1e-4, 'scores')
      expect(predictor.predict(context.toReversed(), 1).neurons).not.toEqual(loud.neurons)
      predictor.dispose()
    })

    test('refuses a context of another width', () => {
      const predictor = makePredictor(backend)
      expect(() => predictor.predict(new Float32Array(5), 1)).toThrow(
        'context: expected [1, 6], got 5 numbers',
      )
      predictor.dispose()
    })
  }))

test('targets are the scores of layers 1 to L - 1, as they are or scaled layer by layer', () => {
  const scores = Float32Array.of(9, 9, 1, 3, 0, 8)
  expect(makeTargets(scores, 2, 'raw')).toEqual(Float32Array.of(1, 3, 0, 8))
  expect(makeTargets(scores, 2, 'per_layer')).toEqual(Float32Array.of(0, 1, 0, 1))
})

describe('a predictor as a file', async () => {
  const folder = temporaryFolder()
  const path = join(folder, 'predictor.safetensors')
  const backend = await createBackend('reference')

  test('round-trips with the same configuration and bits', async () => {
    const predictor = makePredictor(backend)
    await savePredictor(path, predictor)
    const again = (await openPredictor(path, backend)) as ShadowPredictor
    expect(again.config).toEqual(config)
    expect(again.predict(context, 1)).toEqual(predictor.predict(context, 1))
    for (const one of [predictor, again]) one.dispose()
    expect(backend.liveBuffers).toBe(0)
  })

  const refusals: [string, unknown, string][] = [
    [
      'a file without a config',
      undefined,
      'expected a predictor, as "shadowllm train" writes it, got another safetensors file',
    ],
    ['a config that is not an object', 3, 'expected an object, got the number 3'],
    ['a config without a shape', { ...config, shape: undefined }, ' shape: expected an object, got nothing'],
    ['a width of no size', { ...config, width: -1 }, ' width: expected a whole number from 1 to 16777216'],
    [
      'an unknown scaling',
      { ...config, features: 'log' },
      ' features: expected min_max or standard or dataset or none, got the text "log"',
    ],
    ['weights of another width', { ...config, width: 7 }, 'heads.inputWeight: expected [4, 7], got [4, 6]'],
  ]
  test.each(refusals)('%s is refused', async (_, written, message) => {
    const predictor = makePredictor(backend)
    const tensors = new Map<string, TensorToWrite>(
      unitKinds.flatMap((kind) => {
        const { inputs, hidden, outputs } = networkShape(config, kind)
        const values = predictor.networks[kind].read()
        return [
          [`${kind}.inputWeight`, { dtype: 'F32', shape: [hidden, inputs], data: values.inputWeight }],
          [`${kind}.inputBias`, { dtype: 'F32', shape: [hidden], data: values.inputBias }],
          [`${kind}.outputWeight`, { dtype: 'F32', shape: [outputs, hidden], data: values.outputWeight }],
          [`${kind}.outputBias`, { dtype: 'F32', shape: [outputs], data: values.outputBias }],
        ] as const
      }),
    )
    predictor.dispose()
    const metadata = written === undefined ? {} : { [configEntry]: JSON.stringify(written) }
    writeFileSync(path, encodeSafetensors(tensors, metadata as Record<string, string>))
    await expect(openPredictor(path, backend)).rejects.toThrow(message)
    expect(backend.liveBuffers).toBe(0)
  })
})

describe('planners', async () => {
  const backend = await createBackend('reference')
  const units = config.shape
  const budget = makeBudget(0.5)
  const scores = randomScores(units, new Random(4))
  const rows = Float32Array.from([...context.map((value) => -value), ...context]) // [2, 6]
  const viewOf = (tokens: number): PromptView => ({
    context: rows.subarray(0, 6 * tokens),
    tokens,
    ids: Int32Array.of(3, 1).subarray(0, tokens),
  })
  const seen = viewOf(2)

  test('dense keeps everything, and static and oracle keep their highest scores for any input', () => {
    for (const planner of [staticPlanner(scores, budget), oraclePlanner(scores, budget)])
      for (const tokens of [1, 2]) expect(planner.choose(viewOf(tokens))).toEqual(selectMask(scores, budget))
  })

  test('random draws for each sequence from its seed, nested over sparsities', () => {
    const one = randomPlanner(units, budget, 5)
    const masks = [1, 2, 3].map(() => one.choose(seen))
    expect(masks[1]).not.toEqual(masks[0])
    expect(randomPlanner(units, budget, 5).choose(seen)).toEqual(masks[0])
    const narrow = randomPlanner(units, makeBudget(0.8), 5).choose(seen)
    narrow.neurons.forEach((value, unit) => expect(masks[0].neurons[unit]).toBeGreaterThanOrEqual(value))
  })

  test('shadow depends on the last prompt token only', () => {
    const predictor = makePredictor(backend)
    const planner = shadowPlanner(predictor, budget)
    const mask = planner.choose(seen)
    expect(mask).toEqual(selectMask(predictor.predict(context, 1), budget))
    expect(planner.choose({ ...viewOf(1), context })).toEqual(mask)
    expect(planner.choose(viewOf(1))).not.toEqual(mask)
    predictor.dispose()
  })

  test('each has its name', () => {
    const predictor = makePredictor(backend)
    const made = [
      staticPlanner(scores, budget),
      randomPlanner(units, budget, 1),
      oraclePlanner(scores, budget),
      shadowPlanner(predictor, budget),
    ]
    const names = made.map(({ name }) => name)
    expect(names).toEqual(plannerNames.filter((name) => names.includes(name)))
    predictor.dispose()
  })

  test('the mask of a sequence is the planned one', () =>
    withGolden('preln', backend, (model) => {
      const planned = selectMask(randomScores(shape, new Random(2)), budget)
      const sequence = model.begin({ planner: { name: 'fixed', by: 'attention', choose: () => planned } })
      sequence.feed(getIds(golden, 'input_ids'), 'none')
      expect(sequence.mask).toEqual(makeMask(shape, planned.heads, planned.neurons))
      sequence.dispose()
    }))
})
