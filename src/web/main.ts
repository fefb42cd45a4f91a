/**
 * The entry point of the page: it shows the trace that was computed when the page was built, starts the engine in a worker, and opens
 * the embedded model.
 */
import { onFragmentChange, readFile } from '../platform/platform.ts'
import { App } from './app.ts'
import { firstTrace } from './embedded/first_data.ts'
import { inflated } from './embedded/rounded_weights.ts'
import { startPanel } from './models_panel.ts'
import { Session } from './session.ts'
import { startTour } from './tour.ts'
import { parseTrace } from './trace/trace_file.ts'
import { startVerifyPanel } from './verify_panel.ts'

const session = new Session()
const app = new App(session)
app.readAddress()
startVerifyPanel()
startTour(() => app.lookAtFirst())
// The first picture has the line for itself: the model would take its bytes.
if (firstTrace !== null) {
  const file = await readFile(firstTrace).catch(() => null)
  if (file !== null) app.openFirst(await parseTrace(await inflated(file)))
}
startPanel(session, app)
// The page itself replaces its address without this event.
onFragmentChange(() => {
  if (app.readAddress()) void app.write()
})
