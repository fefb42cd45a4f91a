/**
 * The engine equals the specification: the laws between `LanguageModel` and `src/spec`, bit for bit. A backend that owes bounds is
 * held to them call by call.
 */
import fc from 'fast-check'
import { collectExample } from '../../calibration/examples.ts'
import { plainact as plainactCriterion } from '../../criteria/plainact.ts'
import { makeBudget } from '../../masks/budget.ts'
import { channelSites, type ChannelSite } from '../../masks/channels.ts'
import { denseMask, unitKinds, type UnitKind, type UnitMask } from '../../masks/mask.ts'
import type { MaskPlanner } from '../../masks/planner.ts'
import type { UnitScores } from '../../masks/selection.ts'
import { withPass } from '../../criteria/pass.ts'
import { contextWidth } from '../../engine/config.ts'
import { generateTokens } from '../../engine/generate.ts'
import { storageNamed, storages } from '../../engine/storages/index.ts'
import { DejavuPredictor } from '../../predictor/dejavu.ts'
import { dejavuPlanner } from '../../planners/dejavu.ts'
import type { DejavuConfig, ShadowConfig } from '../../predictor/predictor_config.ts'
import { makePredictorConfig } from '../../predictor/make_predictor_config.ts'
import { layerParameterNames, type NetworkShape, type NetworkValues } from '../../predictor/network.ts'
import { shadowPlanner } from '../../planners/shadow.ts'
import { ShadowPredictor } from '../../predictor/shadow.ts'
import { reading, type Channels } from '../../spec/channels.ts'
import { dejavu, type LowRank } from '../../spec/dejavu.ts'
import { maskUnits, tensor, type Mask, type Tensor, type Units } from '../../spec/plain.ts'
import { plainact } from '../../spec/plainact.ts'
import { selectMask as plainSelectMask } from '../../spec/select.ts'
import { calibrate, generate, plan, train } from '../../spec/shadowllm.ts'
import { trainNetwork as plainTrainNetwork } from '../../spec/training.ts'
import { trainNetwork } from '../../training/predictor_training.ts'
import { trainShadow } from '../../training/train_predictor.ts'
import { concatenate } from '../../tensor/concatenate.ts'
import { recordOf } from '../../tensor/records.ts'
import { same, sameBits } from '../compare.ts'
import { selectOn } from '../masks/cases.ts'
import { forAll } from './cases.ts'
import {
  aboutNothing,
  anyBudget,
  anyMask,
  anyMemory,
  anyRun,
  anyTexts,
  anyTraining,
  askedSomehow,
  blockStorage,
  channelMaskOf,
  channelSchedule,
  compareUnits,
  cuts,
  denseLayers,
  eachPart,
  endsOf,
  engineCase,
  everyOf,
  feedInParts,
  gateOf,
  heldTo,
  leavesPrompt,
  logitsWanted,
  made,
  maskOf,
  maskSchedule,
  masksFor,
  masksOf,
  modes,
  networkCase,
  networkValues,
  ofNoCorpus,
  plannerOf,
  scoreTables,
  summaryOf,
  tensorOf,
  trainingCase,
  unitsOf,
  wideCase,
  withEngine,
} from './engine_cases.ts'
import { plainModel, plainNetwork } from './plain_model.ts'

/** The laws. */
export const engineLaws = {
  engineLogits: forAll(
    'logits of the engine are those of the specification, bit for bit: any mask or none, storage, cache, mode, cut into feeds and memory',
    {
      drawn: engineCase,
      skip: fc.option(anyMask),
      ...anyRun,
      parts: cuts,
      wanted: fc.array(logitsWanted, { minLength: 1, maxLength: 4, size: 'max' }),
      // Room for the text at once or not, and tokens expected.
      room: fc.record({ capacity: fc.integer({ min: 1, max: 12 }), expectedTokens: fc.nat({ max: 500 }) }),
      bytesPerBackend: anyMemory,
      // What kept units are multiplied by, where a mask is simulated.
      factor: fc.constantFrom(1, 0.5, -2),
    },
    async (subject, { drawn, skip, storage, cache, mode, parts, wanted, room, bytesPerBackend, factor }) => {
      const { config, tensors, tokens } = made(drawn)
      const mask = skip && maskOf(drawn, skip, 0, mode === 'simulate' ? factor : 1)
      const plain = plainModel(config, tensors, storage, cache)
      const { logits } = plain.forward(tokens, mask && unitsOf(mask))
      const V = config.vocabulary
      await withEngine(subject, config, tensors, { storage, bytesPerBackend }, (model, compare) => {
        let feeds = 0
        eachPart(model, tokens, parts, { mask, mode, cache, ...room }, (sequence, start, end) => {
          const want = wanted[feeds++ % wanted.length]
          const from = { all: start, last: end - 1, none: end }[want]
          const found = sequence.feed(tokens.slice(start, end), want)
          compare(`logits ${from} to ${end}`, found, logits.data.subarray(from * V, end * V))
        })
      })
    },
    {
      runs: 200,
      examples: [
        {
          drawn: wideCase,
          skip: { heads: [0, 600], neurons: [50, 300, 600, 900] },
          storage: blockStorage,
          cache: 'f32',
          mode: 'pack',
          parts: [2],
          wanted: ['all'],
          room: { capacity: 6, expectedTokens: 100 },
          bytesPerBackend: 2 ** 30,
          factor: 1,
        },
      ],
    },
  ),

  engineSchedule: forAll(
    'the engine shows a planner what the specification computes, however it is asked, and each token has the mask that was decided last',
    {
      drawn: engineCase,
      schedule: maskSchedule,
      how: askedSomehow,
      ...anyRun,
      parts: cuts,
    },
    async (subject, { drawn, schedule, how, storage, cache, mode, parts }) => {
      const { config, tensors, tokens } = made(drawn)
      const masks = masksFor(how, masksOf(drawn, schedule, denseLayers(drawn, how)))
      const [prompt] = endsOf(tokens, parts)
      const every = everyOf(how)
      // The first decision falls on the last token of the prompt, and serves the whole prompt, unless that runs dense.
      const decided = (t: number): number => Math.max(0, Math.floor((t - (prompt - 1)) / every))
      const dense = denseMask(masks[0].shape)
      const maskAt = (t: number): UnitMask =>
        t < prompt && leavesPrompt(how) ? dense : masks[decided(t) % masks.length]
      const units: Mask = Array.from(tokens, (_, t) => unitsOf(maskAt(t)))
      const { logits, layers } = plainModel(config, tensors, storage, cache).forward(tokens, units)
      const ofPrompt = layers.map(({ activation: { data, shape } }) => data.slice(0, prompt * shape[1]))
      const ofLayers = ofPrompt.map((activations) => summaryOf(activations, prompt))
      const summaries = concatenate(Float32Array, ofLayers)
      await withEngine(subject, config, tensors, { storage }, (model, compare) => {
        let asked = 0
        let last = 0 // the token it is asked at, plus 1
        const choose = (rows: number, first: Float32Array, ids: Int32Array | null): UnitMask => {
          last = asked === 0 ? prompt : prompt + asked * every
          if (ids) sameBits('ids', ids, tokens.subarray(0, last))
          if (how.by === 'prompt') compare('summaries', first, summaries)
          same('rows', rows, how.by === 'gate' || (how.by === 'layer' && asked > 0) ? 1 : last)
          return masks[asked++ % masks.length]
        }
        const planner = plannerOf(drawn, how, choose, (what, layer, rows) => {
          const { context, input, activation } = layers[layer]
          const gate = gateOf(layers[layer], config)
          const { data, shape } = { context, stream: input, activation, gate }[what]
          // Activations and gates of the prompt are shown before it is asked.
          const end = (what === 'activation' ? prompt : Math.max(prompt, last)) * shape[1]
          compare(what, rows, data.subarray(end - rows.length, end))
        })
        compare('logits', feedInParts(model, tokens, parts, { planner, mode, cache }), logits.data)
        same('asked', asked, decided(tokens.length - 1) + 1)
      })
    },
    {
      runs: 200,
      examples: [
        {
          drawn: wideCase,
          schedule: {
            drifts: true,
            skips: [100, 300, 700, 999].map((place) => ({ heads: [], neurons: [place, 500] })),
          },
          how: { by: 'attention', sourceLayer: 0, every: 1 },
          storage: blockStorage,
          cache: 'f32',
          mode: 'pack',
          parts: [1],
        },
      ],
    },
  ),

  engineChannels: forAll(
    'after the prompt matrices read the input channels that a planner keeps of each token, and it is shown what they would read',
    {
      drawn: engineCase,
      schedule: channelSchedule,
      ...anyRun,
      parts: cuts,
      bytesPerBackend: anyMemory,
    },
    async (subject, { drawn, schedule, storage, cache, mode, parts, bytesPerBackend }) => {
      const { config, tensors, tokens } = made(drawn)
      const [prompt] = endsOf(tokens, parts)
      const wholes = new Map<string, Tensor>()
      const channels: Channels = (l, site, x) => {
        wholes.set(`${site} ${l}`, x)
        const [T, C] = x.shape
        const maskAt = (t: number): Float32Array =>
          t < prompt ? new Float32Array(C).fill(1) : channelMaskOf(schedule, t, l, site, C)
        const masks = Array.from({ length: T }, (_, t) => maskAt(t))
        return maskUnits(x, masks)
      }
      const plain = plainModel(config, tensors, storage, cache)
      const { logits } = plain.forward(tokens, null, reading(plain, channels))
      await withEngine(subject, config, tensors, { storage, bytesPerBackend }, (model, compare) => {
        // It is asked for the first time at the last token of the prompt.
        let t = prompt - 2
        const shown = (l: number, site: ChannelSite, rows: Float32Array, end: number): void => {
          const { data, shape } = wholes.get(`${site} ${l}`) as Tensor
          compare(`${site} ${l}`, rows, data.subarray(end * shape[1] - rows.length, end * shape[1]))
        }
        const summaryOfSite = (l: number, site: ChannelSite): Float32Array =>
          Float32Array.of(l, channelSites.indexOf(site))
        const planner: MaskPlanner = {
          name: 'drawn',
          by: 'channels',
          every: 1,
          summarize(l, site, x, rows) {
            same('rows', rows, prompt)
            shown(l, site, x, prompt)
            return summaryOfSite(l, site)
          },
          choose(l, site, x, summary) {
            if (l === 0 && site === channelSites[0]) t++
            sameBits('summary', summary, summaryOfSite(l, site))
            shown(l, site, x, t + 1)
            return channelMaskOf(schedule, t, l, site, x.length)
          },
        }
        compare('logits', feedInParts(model, tokens, parts, { planner, mode, cache }), logits.data)
        same('token', t, tokens.length - 1)
      })
    },
    { runs: 200 },
  ),

  engineText: forAll(
    'a text that the engine writes is that of the specification: one prediction, one mask, the same tokens',
    {
      drawn: engineCase,
      networks: fc.record({
        heads: networkCase,
        neurons: networkCase,
        features: fc.constantFrom('standard', 'min_max'),
      }),
      budget: anyBudget,
      ...anyRun,
      count: fc.nat({ max: 6 }),
    },
    async (subject, { drawn, networks, budget, storage, cache, mode, count }) => {
      const { config, tensors, tokens: prompt } = made(drawn, count)
      const plain = plainModel(config, tensors, storage, cache)
      const shapeOf = (kind: keyof Units): NetworkShape => ({
        inputs: contextWidth(config),
        hidden: networks[kind].hidden,
        outputs: (drawn.layers - 1) * drawn[kind],
      })
      const values = recordOf(unitKinds, (kind) => networkValues(shapeOf(kind), networks[kind].numbers))
      const predictor = {
        features: networks.features,
        ...recordOf(unitKinds, (kind) => plainNetwork(shapeOf(kind), values[kind])),
      }
      const expected = plan(plain, predictor, prompt, budget)
      const text = generate(plain, prompt, expected, count)
      const { layers, heads, neurons } = drawn
      const about = { shape: { layers, heads, neurons }, width: contextWidth(config), ...aboutNothing }
      const hidden = { headHidden: networks.heads.hidden, neuronHidden: networks.neurons.hidden }
      const { features } = networks
      const predictorConfig = makePredictorConfig('shadow', about, { ...hidden, features })
      await withEngine(subject, config, tensors, { storage }, async (model, compare) => {
        const trained = new ShadowPredictor(model.backend, predictorConfig as ShadowConfig, values)
        try {
          const { sparsity, ...rest } = budget
          const planner = shadowPlanner(trained, makeBudget(sparsity, rest))
          const sequence = model.begin({ planner, mode, cache })
          sequence.feed(prompt)
          const mask = unitsOf(sequence.mask as UnitMask)
          sequence.dispose()
          compareUnits(compare, 'mask', mask, expected)
          const written: number[] = []
          const options = { planner, mode, cache, maxTokens: count, stopIds: [] }
          for await (const { token } of generateTokens(model, prompt, options)) written.push(token)
          compare('text', written, text)
        } finally {
          trained.dispose()
        }
      })
    },
  ),

  engineDejavu: forAll(
    'logits of the engine under DejaVu are those of the specification: each layer decided at each token from the stream one layer before',
    {
      drawn: engineCase,
      networks: fc.record({ heads: networkCase, neurons: networkCase }),
      budget: anyBudget,
      mode: modes,
      parts: cuts,
    },
    async (subject, { drawn, networks, budget, mode, parts }) => {
      const { config, tensors, tokens } = made(drawn)
      const plain = plainModel(config, tensors, 'f32', 'f32')
      const { layers, heads, neurons } = drawn
      const shapeOf = (kind: UnitKind): NetworkShape => ({
        inputs: config.width,
        hidden: networks[kind].hidden,
        outputs: drawn[kind],
        form: 'low-rank',
      })
      const valuesOf = (kind: UnitKind): NetworkValues[] =>
        Array.from({ length: layers - 1 }, (_, l) =>
          networkValues(shapeOf(kind), [l + 1, ...networks[kind].numbers]),
        )
      const values = recordOf(unitKinds, valuesOf)
      const lowRank = (kind: UnitKind, l: number): LowRank => {
        const { hidden: R, inputs: D, outputs: U } = shapeOf(kind)
        const { inputWeight, outputWeight } = values[kind][l]
        return { W1: tensor(inputWeight, R, D), W2: tensor(outputWeight, U, R) }
      }
      const predictors = values.heads.map((_, l) => recordOf(unitKinds, (kind) => lowRank(kind, l)))
      const about = { shape: { layers, heads, neurons }, width: config.width, ...aboutNothing }
      const hidden = { headHidden: networks.heads.hidden, neuronHidden: networks.neurons.hidden }
      const predictorConfig = makePredictorConfig('dejavu', about, { ...hidden, features: 'none' })
      await withEngine(subject, config, tensors, {}, async (model, compare) => {
        const trained = new DejavuPredictor(model.backend, predictorConfig as DejavuConfig, values)
        try {
          const { sparsity, ...rest } = budget
          const planner = dejavuPlanner(trained, makeBudget(sparsity, rest))
          const [prompt] = endsOf(tokens, parts)
          const masks = dejavu(plain, predictors, tokens, prompt, budget)
          const { logits } = plain.forward(tokens, masks)
          compare('logits', feedInParts(model, tokens, parts, { planner, mode }), logits.data)
        } finally {
          trained.dispose()
        }
      })
    },
    { runs: 60 },
  ),

  engineSelection: forAll(
    'the mask by which the engine keeps the best units within a budget is that of the specification',
    { scores: scoreTables, budget: anyBudget },
    ({ backend }, { scores: { heads, neurons }, budget }) => {
      const [layers, H, F] = [heads.length, heads[0].length, neurons[0].length]
      const flat = (rows: readonly (readonly number[])[]): Float32Array => Float32Array.from(rows.flat())
      const scores = { shape: { layers, heads: H, neurons: F }, heads: flat(heads), neurons: flat(neurons) }
      const { sparsity, ...rest } = budget
      const mask = unitsOf(selectOn(backend)(scores, makeBudget(sparsity, rest)))
      const rows = (table: readonly number[][]): Float32Array[] => table.map((row) => Float32Array.from(row))
      const expected = plainSelectMask({ heads: rows(heads), neurons: rows(neurons) }, budget)
      compareUnits(sameBits, 'mask', mask, expected)
    },
  ),

  engineTraining: forAll(
    'a network that the engine trains is that of the specification, bit for bit, for any batch, epochs and held-out texts',
    { training: trainingCase },
    async (subject, { training: { rows, targets, ...options } }) => {
      const { backend, compare } = heldTo(subject.backend)
      const set = {
        rows: rows.map((row) => Float32Array.from(row)),
        targets: targets.slice(0, rows.length).map((row) => Float32Array.from(row)),
      }
      const shape = { inputs: rows[0].length, hidden: options.hidden, outputs: targets[0].length }
      const { values } = await trainNetwork(backend, shape, set, options.seed, options)
      const expected = plainTrainNetwork(tensorOf(rows), tensorOf(targets.slice(0, rows.length)), options)
      layerParameterNames.forEach((name, p) => compare(name, values[name], expected[p].data))
    },
    { runs: 40 },
  ),

  engineLearning: forAll(
    'what a text teaches the engine, and the predictor that learns it, are those of the specification, bit for bit',
    {
      drawn: engineCase,
      texts: anyTexts,
      features: fc.constantFrom('standard', 'min_max'),
      targets: fc.constantFrom('raw', 'per_layer', 'global'),
      settings: anyTraining,
      neuronHidden: fc.integer({ min: 1, max: 5 }),
    },
    async (subject, { drawn, texts, features, targets, settings, neuronHidden }) => {
      const { config, tensors, tokens } = made(drawn)
      if (tokens.length < 2) return
      const windows = texts.map(({ length, prompt }) => {
        const text = tokens.slice(0, 2 + (length % (tokens.length - 1)))
        return { tokens: text, promptLength: 1 + (prompt % (text.length - 1)), ...ofNoCorpus }
      })
      const plain = plainModel(config, tensors, 'f32', 'f32')
      const taught = windows.map((window) => calibrate(plain, window.tokens, window.promptLength))
      const neurons = { ...settings, hidden: neuronHidden }
      const expected = train(taught, { features, targets, heads: settings, neurons })
      const { hidden, seed, ...options } = settings
      const shape = { layers: drawn.layers, heads: drawn.heads, neurons: drawn.neurons }
      const predictorConfig = makePredictorConfig(
        'shadow',
        { shape, width: contextWidth(config), ...aboutNothing, seed },
        { headHidden: hidden, neuronHidden, features, targets },
      ) as ShadowConfig
      await withEngine(subject, config, tensors, {}, async (model, compare) => {
        const examples = windows.map((window) => collectExample(model, window, [plainactCriterion]))
        examples.forEach((example, i) => {
          const { context, scores } = taught[i]
          compareUnits(compare, 'scores', unitsOf(example.scores.get('plainact') as UnitScores), scores)
          const width = contextWidth(config)
          const last = context.data.subarray(context.size - width)
          compare('context', example.features.last.subarray(0, width), last)
        })
        const { predictor } = await trainShadow(model.backend, predictorConfig, examples, options)
        for (const kind of unitKinds) {
          const values = predictor.networks[kind].read()
          layerParameterNames.forEach((name, p) => compare(name, values[name], expected[kind][p].data))
        }
        predictor.dispose()
      })
    },
    { runs: 40 },
  ),

  engineGradients: forAll(
    'activations, logits, gradients and plainact of a pass of the engine are those of the specification, bit for bit, under any mask or none',
    {
      drawn: engineCase,
      skip: fc.option(anyMask),
      storage: fc.constantFrom(...storages.filter((name) => !storageNamed(name).roundsActivations)),
      scored: fc.array(fc.boolean(), { minLength: 1 }),
    },
    async (subject, { drawn, skip, storage, scored }) => {
      const { config, tensors, tokens } = made(drawn)
      const labels = tokens.map((id, t) => (t > 0 && scored[t % scored.length] ? id : -100))
      if (labels.every((label) => label === -100)) return
      const mask = skip && maskOf(drawn, skip)
      const pass = plainModel(config, tensors, storage, 'f32').forward(tokens, mask && unitsOf(mask))
      const following = labels.map((_, t) => (t + 1 < labels.length ? labels[t + 1] : -100))
      const expected = pass.backward(following)
      const scores = plainact(pass.layers, expected, drawn.heads)
      await withEngine(subject, config, tensors, { storage }, (model, compare) => {
        withPass(
          model,
          { tokens, labels },
          (input) => {
            const { trace, gradients } = input
            compare('logits', trace.logits(), pass.logits.data)
            for (let l = 0; l < drawn.layers; l++) {
              compare('context', trace.headOut(l), pass.layers[l].context.data)
              compare('activation', trace.fc1Act(l), pass.layers[l].activation.data)
              compare('gradient of context', gradients.maskedHeadOut(l), expected[l].context.data)
              compare('gradient of activation', gradients.maskedFc1Act(l), expected[l].activation.data)
              compare('gradient before activation', gradients.fc1Pre(l), expected[l].preActivation.data)
            }
            compareUnits(compare, 'scores', unitsOf(plainactCriterion.score(input)), scores)
          },
          { mask: mask ?? undefined },
        )
      })
    },
  ),
}
