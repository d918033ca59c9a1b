"""What GDAL may do in this process: no network, no formats that name other files, no sidecars.

GDAL reads these when it is first loaded, so the package sets them before anything imports it. rasterio
and pyogrio each bring a GDAL of their own; both read the same variables.
"""

from __future__ import annotations

import logging
import os
from collections.abc import MutableMapping

RASTER_DRIVERS_OFF = (
    "AAIGrid ACE2 ADRG AIG AirSAR BAG BIGGIF BLX BMP BSB BT BYN CALS CEOS COASP COSAR CPG CTG CTable2 DAAS DERIVED "
    "DIMAP DIPEx DOQ1 DOQ2 DTED ECRGTOC EEDA EEDAI EHdr EIR ELAS ENVI ERS ESAT ESRIC FAST FIT GFF GIF GNMDatabase "
    "GNMFile GRASSASCIIGrid GRIB GS7BG GSAG GSBG GSC GTI GTX GXF GenBin HDF5 HDF5Image HF2 HFA HTTP ILWIS IRIS ISCE "
    "ISG ISIS2 ISIS3 JAXAPALSAR JDEM JP2OpenJPEG JPEG KMLSUPEROVERLAY KRO L1B LAN LCP LOSLAS Leveller MAP MBTiles MFF "
    "MFF2 MRF MSGN MVT NDF NGSGEOID NITF NOAA_B NSIDCbin NTv2 NWT_GRC NWT_GRD OSM OZI PAux PCIDSK PCRaster PDF PDS "
    "PDS4 PLMOSAIC PNG PNM PRF R RIK RMF ROI_PAC RPFTOC RRASTER RS2 RST Rasterlite S102 S104 S111 SAFE SAGA SAR_CEOS "
    "SDTS SENTINEL2 SGI SIGDEM SNAP_TIFF SNODAS SQLite SRP SRTMHGT STACIT STACTA TGA TIL TSX Terragen USGSDEM VICAR "
    "VRT WCS WEBP WMS WMTS XPM XYZ ZMap Zarr netCDF"
)
VECTOR_DRIVERS_OFF = (
    "ADBC,AIVector,AVCBin,AVCE00,AmigoCloud,CSV,CSW,Carto,DGN,DXF,EDIGEO,EEDA,ESRIJSON,Elasticsearch,FlatGeobuf,"
    "GDALG,GML,GPSBabel,GPX,GTFS,GeoJSON,GeoJSONSeq,GeoRSS,GFF,HTTP,Idrisi,JML,JSONFG,KML,LIBKML,LVBAG,MBTiles,MVT,"
    "MapInfo File,MapML,MiraMonVector,NGW,OAPIF,ODS,OGCAPI,OGR_GMT,OGR_PDS,OGR_VRT,OSM,OpenFileGDB,PCIDSK,PDF,PDS4,"
    "PGDUMP,PLSCENES,PMTiles,S57,SQLite,SXF,Selafin,TopoJSON,VDV,VFK,VICAR,WAsP,WFS,XLSX"
)
"""All but GeoTIFF, COG, memory, GeoPackage and shapefile: what is not registered cannot be chosen by content."""

GDAL = {
    "GDAL_SKIP": RASTER_DRIVERS_OFF,
    "OGR_SKIP": VECTOR_DRIVERS_OFF,
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # .ovr, .msk and others beside an image are never looked for
    "GDAL_PAM_ENABLED": "NO",  # neither is .aux.xml
    "GDAL_GEOREF_SOURCES": "INTERNAL",  # nor .tfw
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_CACHEMAX": "128",  # MB of decoded blocks; memory stays bounded on big machines too
    "CPL_LOG": os.devnull,  # each of the two GDALs would complain of drivers that only the other has
}


def _about_the_ground(record: logging.LogRecord) -> bool:
    """Whether a message of GDAL is worth a user's time: each GDAL complains of drivers that only the other has."""
    return "to unload from" not in record.getMessage()


def guard_gdal(environment: MutableMapping[str, str], *, force: bool = False) -> None:
    """Set what GDAL may do, before it is loaded.

    Args:
        environment: of this process, or of one to be started.
        force: also where the machine's owner chose otherwise, as for the process that examines files.
    """
    for name, value in GDAL.items():
        if force or name not in environment:
            environment[name] = value
    logging.getLogger("rasterio._env").addFilter(_about_the_ground)
