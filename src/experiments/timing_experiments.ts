/**
 * What the method costs and what it saves, by the clock: scoring units against a plain pass, and decoding with units
 * really skipped. Clocks are read in the run itself and never kept.
 */
import { criteria } from '../criteria/index.ts'
import { collectExample } from '../calibration/examples.ts'
import { calibrationCost, type CollectTimes } from '../cost/calibration_cost.ts'
import { publishedLatency } from '../cost/published.ts'
import type { Row } from '../results/experiment_result.ts'
import { denseMethod } from '../results/method.ts'
import { measureSpeeds } from './cache/measure.ts'
import type { Experiment, Finding } from './experiment.ts'
import { plannerVariants } from './sparsity_curve.ts'
import { percent } from '../results/cells.ts'
import { median } from '../results/interleaved_rounds.ts'

/** What scoring costs, criterion by criterion. */
export const calibrationOverhead: Experiment = {
  name: 'calibration-overhead',
  title: 'What scoring units costs',
  asks: 'How much dearer is a criterion than a plain forward pass over the same text? (The paper leaves the computational overhead of plainact open.)',
  async run({ cache, settings, seeds }): Promise<Finding> {
    const windows = cache.windows('calibrate', Math.min(12, settings.calibration), seeds[0])
    const times: CollectTimes[] = []
    for (const [index, window] of windows.entries()) {
      cache.tell('calibrate', index, windows.length)
      await cache.pause()
      const time: CollectTimes = new Map()
      collectExample(cache.model, window, criteria, { index, times: time })
      times.push(time)
    }
    const lengths = windows.map(({ tokens }) => tokens.length)
    const { flops, seconds } = calibrationCost(cache.model.config, lengths, criteria, times)
    const rows = criteria.map(({ name }): Row => {
      const work = flops.forward + flops.backward + flops.criteria[name]
      const time = seconds && seconds.forward + seconds.backward + seconds.criteria[name]
      return {
        criterion: name,
        flops: work / flops.plain,
        seconds: time && seconds ? time / seconds.plain : null,
        milliseconds: time && 1000 * time,
        own: seconds && 1000 * seconds.criteria[name],
      }
    })
    const plainact = rows.find(({ criterion }) => criterion === 'plainact')
    return {
      columns: [
        { key: 'criterion', label: 'criterion' },
        { key: 'flops', label: 'operations, forward pass = 1', digits: 2 },
        { key: 'seconds', label: 'time, forward pass = 1', digits: 2 },
        { key: 'milliseconds', label: 'time per example', unit: 'ms', digits: 0 },
        { key: 'own', label: 'of it after the shared passes', unit: 'ms', digits: 1 },
      ],
      rows,
      plots: [
        {
          title: 'Time of scoring one example',
          kind: 'bar',
          x: { label: 'criterion' },
          y: { label: 'time (plain forward passes)' },
          series: [
            {
              name: 'time',
              points: rows.map(({ criterion, seconds: y }) => ({ x: String(criterion), y: Number(y) })),
            },
          ],
        },
      ],
      paper: null,
      findings: [
        `plainact costs ${figure(plainact?.flops)} times the operations of a plain forward pass and ${figure(plainact?.seconds)} times its time, medians over ${windows.length} windows: a backward pass to the activations, none to the weights.`,
      ],
    }
  },
}

function figure(value: string | number | null | undefined): string {
  return typeof value === 'number' ? value.toFixed(2) : 'an unknown number of'
}

/** How fast text comes out. */
export const latency: Experiment = {
  name: 'latency',
  title: 'Decode speed with units skipped',
  asks: 'How much faster does the model decode when the units are really skipped, the planner included? (The latency figures of the paper, which are of random weights.)',
  async run(context): Promise<Finding> {
    const { cache, settings, seeds } = context
    const { decode, evaluation } = settings
    const shares = [0.5, 0.8, 0.9]
    const variants = plannerVariants(context, ['shadow', 'dejavu', 'static'])
    const rated = [
      { label: 'dense', sparsity: 0, method: denseMethod },
      ...shares.flatMap((sparsity) =>
        variants.map(({ label, method }) => ({ label, sparsity, method: method(sparsity) })),
      ),
    ]
    const methods = rated.map(({ method }) => method)
    const rounds = await measureSpeeds(cache, methods, decode, evaluation, seeds[0])
    const speeds = rounds.map(median)
    const rows = rated.map(({ label, sparsity }, i): Row => ({
      planner: label,
      sparsity: 100 * sparsity,
      speed: speeds[i],
      ratio: speeds[i] / speeds[0],
    }))
    /** Times the dense speed. */
    const ratioOf = (label: string, share: number): number =>
      speeds[rated.findIndex((one) => one.label === label && one.sparsity === share)] / speeds[0]
    return {
      columns: [
        { key: 'planner', label: 'planner' },
        { key: 'sparsity', label: 'asked', unit: '%', digits: 0 },
        { key: 'speed', label: 'decode speed', unit: 'tokens/s', digits: 0 },
        { key: 'ratio', label: 'dense = 1', digits: 2 },
      ],
      rows,
      plots: [
        {
          title: `Decode speed after a prompt of ${decode.prompt} tokens`,
          kind: 'bar',
          x: { label: 'sparsity of the ranked units' },
          y: { label: 'decode speed (dense = 1)' },
          series: variants.map(({ label }) => ({
            name: label,
            points: shares.map((share) => ({ x: percent(share), y: ratioOf(label, share) })),
          })),
        },
      ],
      paper: publishedLatency,
      findings: shares.map(
        (share) =>
          `At ${percent(share)}: ShadowLLM decodes at ${ratioOf('ShadowLLM', share).toFixed(2)} times the dense speed and ${(ratioOf('ShadowLLM', share) / ratioOf('DejaVu (l2norm)', share)).toFixed(2)} times that of DejaVu, which predicts for every layer and token; static pruning, which predicts nothing, at ${ratioOf('static', share).toFixed(2)}.`,
      ),
    }
  },
}
