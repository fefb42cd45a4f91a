/**
 * What an arm decides by, made by the lab: its mean scores, its predictor.
 */
import { predictorKindOf, type Arm } from './method.ts'
import type { Lab } from './experiment_cache.ts'
import { decideBy, type Decider } from './window_evaluator.ts'

/** Makes what an arm decides by; it lives as long as the lab. */
export async function prepareArm(lab: Lab, arm: Arm, seed: number): Promise<Decider> {
  const predictor = predictorKindOf(arm) ? (await lab.predictor(arm, seed)).predictor : undefined
  const mean = arm.planner === 'static' ? await lab.mean(arm, seed) : undefined
  return decideBy(arm, { mean, predictor })
}
