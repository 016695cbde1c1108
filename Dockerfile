# One image for API, worker, Prefect server and rehearsal server: they share one version of Prefect.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv
WORKDIR /opt/anime
RUN python3 -m venv .venv && .venv/bin/pip install --no-cache-dir 'pip>=25'
COPY requirements.lock ./
RUN .venv/bin/pip install --no-cache-dir --no-deps --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE prefect.yaml ./
COPY anime ./anime
COPY blocks ./blocks
COPY flows ./flows
COPY tasks ./tasks
COPY workflows ./workflows
# Editable: workflows and prefect.yaml are looked for beside the code.
RUN .venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation --editable .

FROM ${BASE}
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates python3 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --system --gid 10001 anime \
 && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/anime --shell /usr/sbin/nologin anime \
 && install --directory --owner=anime --group=anime --mode=0700 /var/lib/anime /library
COPY --from=build /opt/anime /opt/anime
# The numbers, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /opt/anime
ENV ANIME_HOME=/var/lib/anime \
    ANIME_LIBRARY_DIR=/library \
    DO_NOT_TRACK=1 \
    HOME=/tmp \
    PATH=/opt/anime/.venv/bin:/usr/local/bin:/usr/bin:/bin \
    PREFECT_HOME=/var/lib/anime/prefect \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
VOLUME ["/var/lib/anime", "/library"]
ENTRYPOINT ["anime"]
CMD ["serve"]
