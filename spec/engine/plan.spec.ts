/**
 * A program that is laid out, brought under a mask and run by ops gives the bits that it has on plain arrays: stated over drawn
 * programs. Bugs that are planted in each of the three are found by that.
 *
 * Tests src/engine/plan.ts, src/engine/active_layer.ts, src/engine/run_step.ts, src/engine/run_state.ts, src/ops/activations.ts
 * and src/verify/model/program_laws.ts.
 */
import { describe } from 'vitest'
import type { Buffer } from '../../src/backends/backend.ts'
import { activateLayer, type ActiveLayer, type Instruction } from '../../src/engine/active_layer.ts'
import { planOf, type Plan, type Section, type UnitSite } from '../../src/engine/plan.ts'
import { runStep, type Frame } from '../../src/engine/run_step.ts'
import type { Value } from '../../src/spec/program.ts'
import { compiledIsInterpreted, type EngineSubject } from '../../src/verify/model/program_laws.ts'
import { killsEach, lawOf, stateLaw } from '../harness/seed.ts'

const engine: EngineSubject = { planOf, activateLayer, runStep }
stateLaw(compiledIsInterpreted, engine)

/** The layout of a program, with something changed in each section. */
const laidOut = (change: (section: Section, plan: Plan) => Partial<Section>): Partial<EngineSubject> => ({
  planOf: (program) => {
    const plan = planOf(program)
    const sections = plan.sections.map((section) => ({ ...section, ...change(section, plan) }))
    return { ...plan, sections }
  },
})

const withSites = (change: (site: UnitSite) => Partial<UnitSite>): Partial<EngineSubject> =>
  laidOut(({ sites }) => ({ sites: sites.map((site) => ({ ...site, ...change(site) })) }))

/** Each instruction of a section, changed. */
const instructed = (
  change: (one: Instruction, layer: ActiveLayer) => Partial<Instruction>,
): Partial<EngineSubject> => ({
  activateLayer: (...all) => {
    const layer = activateLayer(...all)
    return { ...layer, instructions: layer.instructions.map((one) => ({ ...one, ...change(one, layer) })) }
  },
})

/** The steps of some operations, run in another way. */
const running = (
  op: Value['op'],
  run: (
    one: Instruction,
    frame: Frame,
    right: (change?: Partial<Instruction>, other?: Frame) => void,
  ) => void,
): Partial<EngineSubject> => ({
  runStep: (pass, one, frame, ...rest) => {
    const right = (change: Partial<Instruction> = {}, other: Frame = frame): void => {
      runStep(pass, { ...one, ...change }, other, ...rest)
      frame[one.step.place] = other[one.step.place]
    }
    if (one.step.value.op === op) run(one, frame, right)
    else right()
  },
})

const withOperands = (one: Instruction, frame: Frame, order: readonly number[]): Frame => {
  const other = frame.slice()
  order.forEach((from, to) => (other[one.step.of[to]] = frame[one.step.of[from]]))
  return other
}

/** A value under masks lies elsewhere than what it was made of, though it may lie there. */
const isHeads = (one: Instruction): boolean => one.step.value.op === 'attention'

describe('bugs are found:', () => {
  killsEach(
    '%s',
    lawOf(compiledIsInterpreted, (bug: Partial<EngineSubject>) => ({ ...engine, ...bug })),
    {
      // In the layout.
      'a branch lies where the stream does': laidOut(({ slots }) => ({
        slots: slots.map((slot, i) => (i > 0 && slot !== null ? slots[0] : slot)),
      })),
      'a slot is free when its value was read once': laidOut(({ slots, steps }) => ({
        slots: slots.map((slot, i) => {
          const other = steps.findIndex(({ of }) => of.includes(i))
          return i > 0 && other >= 0 && steps[other].value.op === 'linear' ? slots[other + 1] : slot
        }),
      })),
      'slots are as wide as the stream': {
        planOf: (program) => {
          const plan = planOf(program)
          return { ...plan, slotWidths: plan.slotWidths.map(() => 8) }
        },
      },
      'what reads all of the units is given those that are kept': withSites(() => ({ isSkippable: true })),
      'what others read too is masked where it lies': withSites(() => ({ isApart: false })),
      'heads are packed though a norm reads all of them': withSites(() => ({ isPackable: true })),
      'one of two readers of units is forgotten': withSites(({ readers }) => ({
        readers: readers.slice(0, 1),
      })),
      'a unit is one row': withSites(() => ({ size: 1 })),
      'only the first product of units is packed': withSites(({ makers }) => ({
        makers: makers.slice(0, 1),
      })),
      'keys are made of every head': withSites(({ attention }) => ({
        attention: attention && { ...attention, makers: [] },
      })),
      'there are as many key heads as heads': withSites(({ attention, step }) => ({
        attention: attention && { ...attention, keyHeads: step.count },
      })),
      // In the instructions.
      'heads take the mask of neurons': {
        activateLayer: (section, weights, { heads, neurons }, ...rest) => {
          const wrong = { heads: heads.map((_, i) => neurons[i]), neurons }
          return activateLayer(section, weights, wrong, ...rest)
        },
      },
      'kept and skipped units are exchanged': {
        activateLayer: (section, weights, { heads, neurons }, ...rest) => {
          const not = (mask: Float32Array): Float32Array => mask.map((kept) => 1 - kept)
          return activateLayer(section, weights, { heads: not(heads), neurons: not(neurons) }, ...rest)
        },
      },
      'factors are forgotten': instructed(() => ({ factors: null })),
      'sums take all inputs': instructed(({ step, rows }) => ({
        rows: step.value.op === 'combine' ? null : rows,
      })),
      'a value keeps its width when its units are packed': instructed(({ step }) => ({
        width: step.value.width,
      })),
      'packed heads read the key heads of their places': instructed(() => ({ keyHeadOf: null })),
      'a key head is kept by its number among heads': instructed((one) =>
        isHeads(one) ? { keyHeads: one.rows } : {},
      ),
      'no bias is added': instructed(({ step, bias }) => ({
        bias: step.value.op === 'combine' ? null : bias,
      })),
      'the layer under the mask before stays': {
        activateLayer: (section, weights, mask, hints, last) =>
          last ?? activateLayer(section, weights, mask, hints, last),
      },
      // In the steps.
      'gate and up are exchanged': running('gate', (one, frame, right) =>
        right({}, withOperands(one, frame, [1, 0])),
      ),
      'queries are keys': running('attention', (one, frame, right) =>
        right({}, withOperands(one, frame, [1, 1, 2])),
      ),
      'values are keys': running('attention', (one, frame, right) =>
        right({}, withOperands(one, frame, [0, 1, 1])),
      ),
      'a sum has its first term alone': running('add', (one, frame, right) =>
        right({}, withOperands(one, frame, [0, 0])),
      ),
      'nothing is rotated': running(
        'rotate',
        ({ step }, frame) => void (frame[step.place] = frame[step.of[0]]),
      ),
      'nothing is rectified': running(
        'relu',
        ({ step }, frame) => void (frame[step.place] = frame[step.of[0]]),
      ),
      'the result of a norm is its operand': running(
        'rmsNorm',
        ({ step }, frame) => void (frame[step.place] = frame[step.of[0]] as Buffer),
      ),
    },
  )
})
