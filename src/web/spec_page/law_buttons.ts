/**
 * The buttons beside definitions: one tries the law on drawn cases, the other on the specification with a bug.
 */
import type { RpcClient } from '../engine/worker_rpc.ts'
import { byId, make, showInSight } from '../view/dom.ts'
import { differenceInWords } from './case_words.ts'
import { proofs, type Proof } from './proofs.ts'
import type { LawResult } from './try_law.ts'

/** A bug is searched for on so many cases. The rarest breaks its law on one case in 25. */
const PLANTED_CASES = 1000

/**
 * Shows the buttons, which do nothing without this.
 * @param rpc the worker that tries laws, started when it is first asked for
 */
export function startLawButtons(rpc: () => RpcClient): void {
  startTopBugs(rpc)
  for (const proof of proofs) {
    const place = byId(`law.${proof.address}`)
    const [tries, plants] = place.querySelectorAll('button')
    for (const [button, isPlanted] of [
      [tries, false],
      [plants, true],
    ] as const) {
      button.hidden = false
      button.addEventListener('click', () => void run(rpc(), proof, isPlanted, place))
    }
  }
}

/** The list of bugs at the top of the page. */
function startTopBugs(rpc: () => RpcClient): void {
  const place = byId('break')
  const chosen = byId<HTMLSelectElement>('bug')
  const show = (): void => {
    for (const change of place.querySelectorAll<HTMLElement>('[data-bug]'))
      change.hidden = change.dataset.bug !== chosen.value
    place.querySelector('.verdict')?.replaceChildren()
  }
  for (const choice of place.querySelectorAll<HTMLElement>('.choose')) choice.hidden = false
  chosen.addEventListener('change', show)
  show()
  byId('plant').addEventListener('click', () => {
    const proof = proofs.find(({ address }) => address === chosen.value)
    if (proof) void run(rpc(), proof, true, place)
  })
}

/** Tries a law and says what was found. */
async function run(rpc: RpcClient, proof: Proof, isPlanted: boolean, place: HTMLElement): Promise<void> {
  // That of the law stands under its sentence, that of the bug under its lines.
  const verdicts = [...place.querySelectorAll<HTMLElement>('.verdict')]
  const verdict = isPlanted ? verdicts.at(-1) : verdicts[0]
  const buttons = place.querySelectorAll('button')
  if (verdict === undefined) return
  for (const other of verdicts) other.replaceChildren()
  buttons.forEach((button) => (button.disabled = true))
  const cases = isPlanted ? PLANTED_CASES : proof.cases
  verdict.textContent = isPlanted ? 'Trying cases until one breaks the law …' : `Trying ${cases} cases …`
  const seed = crypto.getRandomValues(new Uint32Array(1))[0] >>> 1
  try {
    const args = [isPlanted ? proof.address : null, proof.law, cases, seed]
    const result = (await rpc.call('tryLaw', args)) as LawResult
    verdict.replaceChildren(...wordsOf(result, isPlanted, seed))
    verdict.dataset.result = result.broken === null ? 'holds' : 'broken'
  } catch (error) {
    verdict.textContent = String(error)
  }
  buttons.forEach((button) => (button.disabled = false))
  showInSight(verdict)
}

function wordsOf({ cases, broken }: LawResult, isPlanted: boolean, seed: number): (Node | string)[] {
  if (broken === null)
    return [`The law holds on ${cases} cases: the engine and src/spec agree (seed ${seed}).`]
  const { sentence, sizes, names, report } = broken
  const meanings = names.flatMap(([name, meaning]) => [
    make('dt', {}, make('code', { text: name })),
    make('dd', { text: meaning }),
  ])
  const bug = isPlanted ? ' with this bug' : ''
  return [
    make('p', {
      text: `The law is broken by case ${cases} of the random ones (seed ${seed}; another try draws others): the engine and src/spec${bug} differ. The law: ${sentence}.`,
    }),
    make('p', { text: `The smallest case found: ${sizes} ${differenceInWords(report)}` }),
    make(
      'details',
      {},
      make('summary', { text: 'The whole case, and what its names mean' }),
      make('pre', { text: report, tabindex: '0' }),
      make('dl', {}, ...meanings, make('dt', {}, 'seed, path'), make('dd', { text: 'replay this case' })),
    ),
  ]
}
