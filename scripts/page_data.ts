/**
 * What a page fetches first, made from the embedded model when it is built (`pageData` of `vite_page.ts`): its weights in four bits, its
 * predictor, and the trace of the page's default prompt under them. Each is made once for all pages of a build.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ShadowModel } from '../src/library/shadow_model.ts'
import { layerSizes } from '../src/masks/achieved.ts'
import { mountFolder } from '../src/platform/platform.ts'
import { embeddedModelFiles, embeddedNames, packedHere } from '../src/web/embedded/embedded_model.ts'
import { deflated } from '../src/web/embedded/rounded_weights.ts'
import { study } from '../src/web/engine/study.ts'
import { defaultState } from '../src/web/page_state.ts'
import { PAGE_TOKENS } from '../src/web/session.ts'
import { encodeTrace } from '../src/web/trace/trace_file.ts'
import { emptyTrace, growTrace } from '../src/web/trace/trace.ts'

const embedded = (name: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array(readFileSync(fileURLToPath(new URL(`../fixtures/tiny-opt/${name}`, import.meta.url))))
/** The embedded model's weights, rounded and deflated. */
export function packedWeights(): Promise<Uint8Array> {
  return packedHere()
}

/** Its predictor, deflated. */
export function packedPredictor(): Promise<Uint8Array> {
  return deflated(embedded('predictor.safetensors'))
}

/** The trace of the page's default prompt by the rounded model, deflated, without speeds: the same on every machine. */
export async function firstTrace(): Promise<Uint8Array> {
  const opt = await ShadowModel.fromPretrained(mountFolder('embedded-rounded', await embeddedModelFiles()))
  const { prompt, ...settings } = defaultState
  const { layers, heads, neurons } = opt.config
  const sizes = { shape: { layers, heads, neurons }, ...layerSizes(opt.config, heads) }
  let trace = emptyTrace({ name: embeddedNames.rounded, ...sizes }, settings)
  for await (const event of study(opt, prompt, { ...settings, maxTokens: PAGE_TOKENS }))
    trace = growTrace(trace, event)
  await opt.dispose()
  return deflated(encodeTrace(trace))
}
