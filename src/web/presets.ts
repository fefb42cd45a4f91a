/**
 * Examples: states of the page worth looking at, each by what it changes of the default.
 */
import { defaultState, type PageState } from './page_state.ts'

/** An example. */
export interface Preset {
  readonly name: string
  /** What there is to see. */
  readonly words: string
  readonly state: PageState
}

const preset = (name: string, words: string, changes: Partial<PageState> = {}): Preset => ({
  name,
  words,
  state: { ...defaultState, ...changes },
})

/** All of them; the first is the default. */
export const presets: readonly Preset[] = [
  preset(
    'A story',
    'Half of the ranked units are skipped: the text stays a story, and some sentences break.',
  ),
  preset(
    'At sea',
    'Another prompt needs other units: the picture changes, and how many differ is told below it.',
    {
      prompt: 'The captain looked at the sea and said,',
    },
  ),
  preset('Skip 85 %', 'Where the text breaks: too little of the network is left.', { sparsity: 0.85 }),
  preset('Skip at random', 'As many units are skipped, chosen by random numbers: what is skipped matters.', {
    planner: 'random',
  }),
  preset(
    'Ask the oracle',
    'The units are chosen with the dense text at hand, so that nothing is guessed: the KL that is left comes from skipping.',
    {
      planner: 'oracle',
    },
  ),
]
