# One image for all of crossdock: the four services, their pull workers and the command line.
# What runs in it, and how, tells docs/containers.md.

# Another build of the same Python may stand in, or the same one by its digest.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
COPY requirements.txt /build/
# pip stays behind: what runs needs none.
RUN python3 -m venv --without-pip /opt/crossdock \
 && python3 -m pip --python /opt/crossdock install --no-cache-dir --disable-pip-version-check \
      --require-hashes --only-binary :all: -r /build/requirements.txt
COPY partners.toml /app/
COPY infra /app/infra
COPY shared /app/shared
COPY services /app/services
COPY crossdock /app/crossdock
# The file system is read-only later, so what Python compiles is compiled now, as pip has done above.
RUN /opt/crossdock/bin/python -m compileall -q /app \
 && mv /app/infra/containers/bin /app/bin \
 && for name in validator stager upserter reporter; do ln -s service "/app/bin/$name"; done

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="crossdock" \
      org.opencontainers.image.description="Partners' CSV drops into a production MySQL" \
      org.opencontainers.image.version="${VERSION}"
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent crossdock
COPY --from=build /opt/crossdock /opt/crossdock
COPY --from=build /app /app
ENV PATH=/app/bin:/opt/crossdock/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PORT=8080
WORKDIR /app
USER 10001:10001
EXPOSE 8080
# Of a service; a command or a pull worker answers no requests, and is run without.
HEALTHCHECK --interval=5s --timeout=10s --start-period=60s --retries=6 \
  CMD ["python", "-m", "infra.containers.ready"]
CMD ["crossdock", "--help"]
