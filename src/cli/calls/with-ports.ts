/** The builder's ports for a question about a Dockerfile: nothing is shown of how it is answered. */
import type { BuildPorts } from '../../builder/index.ts';
import { hostPlatform } from '../../core/index.ts';
import type { Session } from '../session.ts';
import { withWiring } from '../wire.ts';

export function withPorts<T>(session: Session, work: (ports: BuildPorts) => Promise<T>): Promise<T> {
  const events = () => {};
  return withWiring(session, events, async (wiring) => {
    const [store, baseImages] = await Promise.all([wiring.store(), wiring.baseImages()]);
    const delivery = await wiring.delivery(baseImages, hostPlatform());
    return await work({
      store,
      baseImages,
      delivery,
      events,
      now: session.now,
      stdout: session.stdoutStream,
      signal: session.signal,
    });
  });
}
