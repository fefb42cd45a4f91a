/**
 * The scores a prompt leads one to expect: the mean over continuations that the model itself writes after it, each drawn
 * token by token from the model's own distribution.
 *
 * Were the model the source of the text, this would be the best any predictor could say of a continuation it has not
 * seen. It is far too dear to plan with (a text and a backward pass for each sample); it says how much there is to
 * predict.
 */
import { criterionByName } from '../../criteria/index.ts'
import type { UnitScores } from '../../masks/selection.ts'
import type { OptModel } from '../../engine/opt_model.ts'
import { makeSampler } from '../../engine/sampling.ts'
import { scoreText } from '../../predictor/pass_planners.ts'
import { Random } from '../../tensor/random.ts'
import { continuationLabels, type Window } from '../../data/windows.ts'

/** Samples of one window, drawn as they are asked for; more samples begin with those of fewer. */
export class ExpectedScores {
  readonly #model: OptModel
  readonly #window: Window
  readonly #criterion: string
  readonly #seeds: Random
  readonly #samples: UnitScores[] = []

  /** @param window whose prompt is gone on from, for as many tokens as its continuation has */
  constructor(model: OptModel, window: Window, criterion: string, seed: number) {
    this.#model = model
    this.#window = window
    this.#criterion = criterion
    this.#seeds = new Random(seed)
  }

  /** The mean of the first `count` samples; at least one. */
  mean(count: number): UnitScores {
    while (this.#samples.length < count) this.#samples.push(this.#draw())
    const { shape } = this.#samples[0]
    const mean = (kind: 'heads' | 'neurons'): Float32Array => {
      const sums = new Float64Array(this.#samples[0][kind].length)
      for (const scores of this.#samples.slice(0, count))
        for (let unit = 0; unit < sums.length; unit++) sums[unit] += scores[kind][unit]
      return Float32Array.from(sums, (sum) => sum / count)
    }
    return { shape, heads: mean('heads'), neurons: mean('neurons') }
  }

  #draw(): UnitScores {
    const { promptLength } = this.#window
    const tokens = this.#window.tokens.slice()
    const sampler = makeSampler({ temperature: 1, seed: this.#seeds.uint32() })
    const sequence = this.#model.begin({ capacity: tokens.length })
    try {
      let logits = sequence.feed(tokens.slice(0, promptLength), 'last')
      for (let t = promptLength; ; t++) {
        tokens[t] = sampler(logits)
        if (t === tokens.length - 1) break
        logits = sequence.feed(tokens.slice(t, t + 1), 'last')
      }
    } finally {
      sequence.dispose()
    }
    const labels = continuationLabels({ ...this.#window, tokens })
    return scoreText(this.#model, tokens, labels, criterionByName(this.#criterion))
  }
}
