/**
 * What the words of both pages mean. On the live page a word that has an explanation is a button with `data-term`; the explanation
 * is shown while the pointer is over it or it has the focus, and screen readers read it as its description.
 */
import { make } from './dom.ts'
import type { Tip } from './tip.ts'
import { pageDocument } from '../../platform/platform.ts'

/** What a prompt of no words means, in the box where one is typed. */
export const emptyPrompt = 'Empty: the model begins with its start token'

/** What the oracle knows, and why a model cannot write with it. */
export const oracleWords =
  'The oracle scores each unit on the text that the dense model writes, so it can choose only when that text is complete: too late to save work.'

/** The explanations by name. */
export const glossary = {
  head: 'An attention head looks back at the earlier words and brings over what is useful now, such as the name that “she” stands for. Each layer has several.',
  neuron:
    'A neuron watches for one pattern in what has been read so far and, when it finds it, adds its own hint about what comes next. Each layer has many; few matter for one prompt.',
  layer:
    'Layers run one after the other. Each reads the stream of numbers that the earlier ones wrote, and adds to it: first its heads, then its neurons.',
  predictor:
    'A small network, trained once for this model. From what the heads of layer 0 give out at the last token of the prompt, it predicts the score of every head and every neuron of the other layers.',
  oracle: `${oracleWords} The predictor learns to predict its scores. They need not be the best choice.`,
  criterion:
    'How a unit is scored from its output a and the gradient g of the loss. plainact, the one of ShadowLLM, is the sum over tokens of |a g|: at most how much the loss would change without the unit, to first order.',
  scope:
    'Which units compete. Global: those of all layers, and each layer keeps its best head. Per-layer: those of one layer. Hybrid: global, and each layer keeps a floor of its best neurons too.',
  sparsity:
    'The share of heads and of neurons to skip, counted over the layers after the first. The first layer is always computed, so the share of the whole model is smaller.',
  token: 'A token is a word or a piece of one. The model reads and writes tokens.',
  kl: 'KL, in nats: how far the next-word probabilities are from those of the dense model. 0 is no difference. e to the power of −KL is the share of its probability that a word typically keeps. It is that of this text; another differs.',
  temperature:
    'How freely words are drawn. 0 always takes the likeliest one. At 1 a word is drawn as often as the model gives it probability. 0.8 lies between.',
} as const

/** A word of the glossary. */
type Term = keyof typeof glossary

const isTerm = (name: string | undefined): name is Term => name !== undefined && Object.hasOwn(glossary, name)

/** Connects every word of the page with its explanation. */
export function startGlossary(tip: Tip): void {
  const { body } = pageDocument()
  for (const button of body.querySelectorAll<HTMLElement>('[data-term]')) connect(button, body, tip)
}

function connect(button: HTMLElement, body: HTMLElement, tip: Tip): void {
  const { term } = button.dataset
  if (!isTerm(term)) return
  const id = `about-${term}`
  const words = glossary[term]
  if (!body.querySelector(`#${id}`)) body.append(make('span', { id, hidden: '', text: words }))
  button.setAttribute('aria-describedby', id)
  const show = (): void => tip.show(words, button)
  const hide = (): void => tip.hide()
  button.addEventListener('pointerenter', show)
  button.addEventListener('focus', show)
  // A finger gives the focus first; a second touch must not hide what it asked for.
  button.addEventListener('click', (event) => {
    event.preventDefault()
    show()
  })
  button.addEventListener('pointerleave', hide)
  button.addEventListener('blur', hide)
}
